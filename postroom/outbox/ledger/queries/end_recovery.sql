-- A recovery has seen everything. $1 run
update postroom.replay_run set next_id = null where id = $1
