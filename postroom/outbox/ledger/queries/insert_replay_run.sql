-- $1 actor, $2 filter as JSON text, $3 letters a second
insert into postroom.replay_run (actor, wanted, pace_per_s) values ($1, $2::text::jsonb, $3) returning id
