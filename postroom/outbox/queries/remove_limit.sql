-- One that a person has set in place of what code declares makes room for that again.
-- $1 channel, $2 tenant, $3 destination, $4 the name for code, $5 why code has one. Returns the one that was there.
with old as materialized (
    select id, per_second, in_flight, reason, set_by, declared is not null and set_by <> $4 as replaced
    from postroom.delivery_limit
    where channel = $1 and tenant is not distinct from $2 and destination is not distinct from $3
    for update
), restored as (
    update postroom.delivery_limit l
    set per_second = l.declared, in_flight = null, reason = $5, set_by = $4, set_at = now(), reached_at = null
    from old where l.id = old.id and old.replaced
), removed as (
    delete from postroom.delivery_limit l using old where l.id = old.id and not old.replaced
)
select per_second, in_flight, reason, set_by from old
