-- Workers whose heartbeat is too old. $1 seconds
select id from postroom.worker where beat_at < now() - make_interval(secs => $1) order by id
