-- Tokens, newest first, never their hashes. $1 limit
select id, name, scopes, created_at, expires_at, revoked_at, last_used_at
from postroom.token order by id desc limit $1
