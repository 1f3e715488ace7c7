-- Tokens, newest first, never their hashes. $1 limit, $2 below this id or null, $3 only this one and what was made with it,
-- or null for all
select t.id, t.name, t.scopes, t.tenants, t.channels, t.ancestors, t.created_at, t.expires_at, t.revoked_at, t.last_used_at,
    exists (select from postroom.living_token living where living.id = t.id) as living
from postroom.token t
where ($2::uuid is null or t.id < $2) and ($3::uuid is null or t.id = $3 or $3 = any (t.ancestors))
order by t.id desc limit $1
