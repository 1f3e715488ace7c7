-- $1 run, $2 its state, $3 the states it may have had
update postroom.replay_run set state = $2, changed_at = now() where id = $1 and state = any ($3::text[]) returning id
