-- What login roles may publish. $1 limit
select role::text as role, tenants, channels, changed_at from postroom.publisher_limit order by role limit $1
