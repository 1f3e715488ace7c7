-- $1 endpoints. The current secret comes first, the previous one while it is valid.
select id, url, state,
    case when previous_secret_until > now() then array[secret, previous_secret] else array[secret] end as secrets
from postroom.endpoint
where id = any ($1::uuid[])
