-- Revoke; revoking twice keeps the first time. $1 id
update postroom.token set revoked_at = coalesce(revoked_at, now()) where id = $1
returning id, name, scopes, created_at, expires_at, revoked_at, last_used_at
