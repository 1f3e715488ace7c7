-- $1 channel, $2 tenant, $3 destination, $4 a second, $5 in flight, $6 why, $7 who.
-- One that is there is replaced; what it has handed out stays so. Returns the one that was there.
with old as materialized (
    select per_second, in_flight, reason, set_by from postroom.delivery_limit
    where channel = $1 and tenant is not distinct from $2 and destination is not distinct from $3
    for update
), made as (
    insert into postroom.delivery_limit (channel, tenant, destination, per_second, in_flight, reason, set_by)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (channel, coalesce(tenant, ''), coalesce(destination, '')) do update
    set per_second = excluded.per_second, in_flight = excluded.in_flight, reason = excluded.reason,
        set_by = excluded.set_by, set_at = now(), reached_at = null
)
select * from old
