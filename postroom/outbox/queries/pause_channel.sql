-- $1 channel, $2 why, $3 who. Paused already: as it was.
insert into postroom.channel_pause (channel, reason, paused_by) values ($1, $2, $3) on conflict do nothing
