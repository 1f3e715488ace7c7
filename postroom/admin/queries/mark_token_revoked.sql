-- Revoke; revoking twice keeps the first time. What was made with it ends, too. $1 id, $2 only this token
-- and what was made with it, or null for all
update postroom.token set revoked_at = coalesce(revoked_at, now())
where id = $1 and ($2::uuid is null or id = $2 or $2 = any (ancestors))
returning id, name, scopes, tenants, channels, ancestors, created_at, expires_at, revoked_at, last_used_at,
    (select count(*) from postroom.living_token child where $1 = any (child.ancestors)) as children
