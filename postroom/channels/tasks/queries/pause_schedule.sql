-- $1 a schedule, $2 why, $3 who. Paused already: as it was. Returns the pause that was there.
with old as materialized (
    select reason, paused_by from postroom.schedule where name = $1 and paused_at is not null
), made as (
    insert into postroom.schedule as s (name, last_at, paused_at, reason, paused_by) values ($1, now(), now(), $2, $3)
    on conflict (name) do update set paused_at = now(), reason = $2, paused_by = $3 where s.paused_at is null
)
select * from old
