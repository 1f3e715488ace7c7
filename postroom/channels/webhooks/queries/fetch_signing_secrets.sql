-- The deployment's own secret first, the previous one while it is valid; and whether they themselves sign, too.
select case when previous_secret_until > now() then array[secret, previous_secret] else array[secret] end as secrets,
    coalesce(shared_until > now(), false) as shared
from postroom.signing_secret
