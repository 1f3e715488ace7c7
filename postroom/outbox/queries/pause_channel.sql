-- $1 channel, $2 why, $3 who. Paused already: as it was. Returns the pause that was there.
with old as materialized (
    select reason, paused_by from postroom.channel_pause where channel = $1
), made as (
    insert into postroom.channel_pause (channel, reason, paused_by) values ($1, $2, $3) on conflict do nothing
)
select * from old
