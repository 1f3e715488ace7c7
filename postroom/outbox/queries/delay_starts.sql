-- Nothing more starts under a limit for a while: what it grants is handed out up to then.
-- $1 channel, $2 tenant, $3 destination, $4 seconds
update postroom.delivery_limit
set spent_to = greatest(spent_to, now() + make_interval(secs => $4)), reached_at = now()
where channel = $1 and coalesce(tenant, '') = coalesce($2, '') and coalesce(destination, '') = coalesce($3, '')
