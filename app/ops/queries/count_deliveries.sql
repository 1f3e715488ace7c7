-- What has not ended, by channel and state, counted in the index delivery_due; each group up to $1 rows,
-- so that a scrape stays cheap over a queue of millions.
select channel.name as channel, state.name as state, waiting.count as waiting,
    parked.count as parked, coalesce(oldest.due_s, 0)::float8 as oldest_due_s
from unnest(array['stripe', 'email', 'webhook', 'export']) channel (name)
cross join unnest(array['pending', 'retry']) state (name)
cross join lateral (
    select count(*) from (select from postroom.delivery d where d.channel = channel.name
        and d.state = state.name and d.due_at < 'infinity' limit $1) capped) waiting
cross join lateral (
    select count(*) from (select from postroom.delivery d where d.channel = channel.name
        and d.state = state.name and d.due_at = 'infinity' limit $1) capped) parked
cross join lateral (
    select extract(epoch from now() - min(d.due_at)) as due_s from postroom.delivery d
    where d.channel = channel.name and d.state = state.name and d.due_at <= now()) oldest
