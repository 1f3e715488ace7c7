-- The deployment's own secret first, the previous one while it is valid.
select case when previous_secret_until > now() then array[secret, previous_secret] else array[secret] end
from postroom.signing_secret
