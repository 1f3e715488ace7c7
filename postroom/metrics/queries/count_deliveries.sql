-- What has not ended, by channel and state: up to $1 rows a group are counted now, above that it is the
-- canary's count, so that a scrape stays cheap over a queue of millions. The order by due_at is for the
-- planner: it walks the index delivery_due, and never the table.
select channel.name as channel, split_part(state.name, '_', 1) as state,
    coalesce(nullif(split_part(state.name, '_', 2), ''), 'normal') as urgency,
    case when waiting.count < $1 then waiting.count else greatest($1, coalesce(kept.waiting, 0)) end as waiting,
    case when timeless.count < $1 then timeless.count else greatest($1, coalesce(kept.timeless, 0)) end as timeless,
    coalesce(oldest.due_s, 0)::float8 as oldest_due_s
from unnest(array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task']) channel (name)
cross join unnest(array['pending', 'retry', 'pending_urgent', 'retry_urgent', 'pending_bulk', 'retry_bulk']) state (name)
cross join lateral (
    select count(*) from (select from postroom.delivery d where d.channel = channel.name
        and d.state = state.name and d.due_at < 'infinity' order by d.due_at limit $1) capped) waiting
cross join lateral (
    select count(*) from (select from postroom.delivery d where d.channel = channel.name
        and d.state = state.name and d.due_at >= 'infinity' order by d.due_at limit $1) capped) timeless
cross join lateral (
    select extract(epoch from now() - min(d.due_at)) as due_s from postroom.delivery d
    where d.channel = channel.name and d.state = state.name and d.due_at <= now()) oldest
cross join lateral (
    select sum(c.count) filter (where c.kind = 'waiting')::bigint as waiting,
        sum(c.count) filter (where c.kind = 'parked')::bigint as timeless
    from postroom.ledger_count c where c.channel = channel.name and c.label = state.name) kept
