-- The limit for this as settings have it, whatever it was before; what it has handed out stays so. A new one has one start.
-- $1 channel, $2 destination, $3 a second, $4 why, $5 who. Returns its id.
insert into postroom.delivery_limit (channel, destination, per_second, reason, set_by, spent_to)
values ($1, $2, $3, $4, $5, now() - make_interval(secs => 1 / $3::float8))
on conflict (channel, coalesce(tenant, ''), coalesce(destination, '')) do update
set per_second = excluded.per_second, in_flight = null, reason = excluded.reason, set_by = excluded.set_by
returning id
