-- Forget replays of long ago, a few at a time. $1 days, $2 batch
delete from postroom.replay_run where id in (
    select id from postroom.replay_run where created_at < now() - make_interval(days => $1) order by id limit $2)
