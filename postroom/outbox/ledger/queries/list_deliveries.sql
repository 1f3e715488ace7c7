-- What has not ended of one message. $1 message id
select n, destination, endpoint_id, state, attempts, nullif(due_at, 'infinity') as due_at,
    due_at = 'infinity' as parked, worker, claimed_at, last_reason
from postroom.delivery where message_id = $1 order by n limit 1000
