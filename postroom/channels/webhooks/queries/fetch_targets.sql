-- $1 endpoints. The current secret comes first, the previous one while it is valid.
select e.id, e.url, e.failing_since,
    postroom.endpoint_state(e.state, e.disabled_at) as state,
    case when e.previous_secret_until > now() then array[e.secret, e.previous_secret] else array[e.secret] end as secrets
from postroom.endpoint e
where e.id = any ($1::uuid[])
