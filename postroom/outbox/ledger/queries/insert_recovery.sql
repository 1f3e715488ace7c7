-- A replay that is going to look for what it replays. $1 who asks, $2 what for, as JSON text, $3 letters a second,
-- $4 endpoint, $5 the message that its walk begins behind, $6 the message that it ends before
insert into postroom.replay_run (actor, wanted, pace_per_s, endpoint_id, next_id, until_id)
values ($1, $2::text::jsonb, $3, $4, $5, $6)
returning id
