-- The latest replays, newest first. $1 limit
select id, actor, wanted::text as wanted, pace_per_s, state, items, created_at, changed_at
from postroom.replay_run order by id desc limit $1
