-- Keep a new token's hash. $1 name, $2 sha256, $3 scopes, $4 expires_at or null
insert into postroom.token (name, hash, scopes, expires_at) values ($1, $2, $3, $4)
returning id, name, scopes, created_at, expires_at, revoked_at, last_used_at
