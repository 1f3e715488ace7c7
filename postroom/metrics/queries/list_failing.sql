-- Deliveries that failed at least $1 times and are tried again, by channel and by what the last attempt said; of
-- each channel the $2 that wait longest, which are those that failed most: from the far end of delivery_due.
select channel.name as channel, coalesce(waiting.last_reason, '') as reason, count(*) as count,
    max(waiting.attempts)::integer as attempts, (array_agg(waiting.message_id order by waiting.attempts desc))[1] as message_id
from unnest(array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task']) channel (name)
cross join unnest(array['retry', 'retry_urgent', 'retry_bulk']) state (name)
cross join lateral (
    select d.message_id, d.attempts, d.last_reason from postroom.delivery d
    where d.channel = channel.name and d.state = state.name and d.due_at < 'infinity'
    order by d.due_at desc, d.seq desc limit $2) waiting
where waiting.attempts >= $1
group by 1, 2
order by count(*) desc, 1, 2
