-- Keep a new token's hash. One that was made with a token ends with that at the latest; nothing is kept where that has ended.
-- $1 name, $2 sha256, $3 scopes, $4 expires_at or null, $5 else after so many seconds or null, $6 tenants or null,
-- $7 channels or null, $8 the token that it is made with, or null
insert into postroom.token (name, hash, scopes, expires_at, tenants, channels, ancestors)
select $1, $2, $3, least(coalesce($4, now() + make_interval(secs => $5)), parent.expires_at), $6, $7,
    case when parent.id is null then '{}' else parent.ancestors || parent.id end
from (select 1) one
left join postroom.living_token parent on parent.id = $8::uuid
where $8::uuid is null or parent.id is not null
returning id, name, scopes, tenants, channels, ancestors, created_at, expires_at, revoked_at, last_used_at
