-- $1 channel, $2 tenant, $3 destination, $4 a second, $5 in flight, $6 why, $7 who.
-- One that is there is replaced; what it has handed out stays so.
insert into postroom.delivery_limit (channel, tenant, destination, per_second, in_flight, reason, set_by)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (channel, coalesce(tenant, ''), coalesce(destination, '')) do update
set per_second = excluded.per_second, in_flight = excluded.in_flight, reason = excluded.reason,
    set_by = excluded.set_by, set_at = now(), reached_at = null
returning id
