-- What a paused replay still held lies where it lay; it is the replay's no more. $1 run
update postroom.replay_item set state = 'returned' where run_id = $1 and state = 'held'
