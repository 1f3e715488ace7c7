-- Every attempt at some messages, oldest first. $1 message ids, $2 when the first was published, $3 limit
select message_id, n, channel, attempt, worker, outcome, code, reason, detail, duration_ms, ended_at
from postroom.attempt
where message_id = any ($1::uuid[]) and ended_at >= $2
order by ended_at, message_id, n, attempt
limit $3
