-- What of some messages has not ended. $1 message ids, $2 limit
select d.message_id, d.n, d.channel, d.destination, d.endpoint_id, split_part(d.state, '_', 1) as state, d.attempts,
    nullif(d.due_at, 'infinity') as due_at, d.due_at = 'infinity' and d.channel <> 'task' as parked,
    d.due_at = 'infinity' and d.channel = 'task' as awaits_batch, d.batch, d.worker, d.claimed_at, d.last_reason, d.expires_at,
    coalesce(nullif(split_part(d.state, '_', 2), ''), 'normal') as urgency,
    case when d.worker is not null then r.progress end as progress, r.cancelled_by
from postroom.delivery d
left join postroom.task_run r on r.message_id = d.message_id
where d.message_id = any ($1::uuid[]) order by d.message_id, d.n limit $2
