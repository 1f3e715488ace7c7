-- The living token with this hash. $1 sha256
select id, name, scopes, tenants, channels, ancestors, created_at, expires_at, revoked_at, last_used_at,
    (last_used_at is null or last_used_at < now() - interval '1 minute') as unrecorded_use
from postroom.living_token
where hash = $1
