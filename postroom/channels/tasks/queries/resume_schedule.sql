-- $1 a schedule: its times begin anew, now. Returns the pause that was there.
with old as materialized (
    select reason, paused_by from postroom.schedule where name = $1 and paused_at is not null
), made as (
    update postroom.schedule set last_at = now(), paused_at = null, paused_by = null, reason = null
    where name = $1 and paused_at is not null
)
select * from old
