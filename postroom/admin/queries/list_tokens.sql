-- Tokens, newest first, never their hashes. $1 limit, $2 below this id or null
select id, name, scopes, created_at, expires_at, revoked_at, last_used_at
from postroom.token where $2::uuid is null or id < $2 order by id desc limit $1
