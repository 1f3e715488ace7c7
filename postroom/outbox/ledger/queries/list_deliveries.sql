-- What of some messages has not ended. $1 message ids, $2 limit
select message_id, n, channel, destination, endpoint_id, split_part(state, '_', 1) as state, attempts,
    nullif(due_at, 'infinity') as due_at, due_at = 'infinity' as parked, worker, claimed_at, last_reason, expires_at,
    coalesce(nullif(split_part(state, '_', 2), ''), 'normal') as urgency
from postroom.delivery where message_id = any ($1::uuid[]) order by message_id, n limit $2
