-- Every attempt at one message, oldest first. $1 message id
select n, attempt, worker, outcome, code, reason, detail, duration_ms, ended_at
from postroom.attempt where message_id = $1 order by ended_at, n, attempt limit 1000
