-- Dead letters by channel and cause: up to $1 a group are counted now, above that it is the canary's count.
-- The order is for the planner: it walks the index dead_letter_cause, and never the table.
select channel.name as channel, cause.name as cause,
    case when dead.count < $1 then dead.count else greatest($1, coalesce(kept.count, 0)) end as count
from unnest(array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task']) channel (name)
cross join unnest(array['passing', 'permanent', 'ours', 'expired']) cause (name)
cross join lateral (
    select count(*) from (select from postroom.dead_letter l
        where l.channel = channel.name and l.cause = cause.name order by l.died_at limit $1) capped) dead
left join postroom.ledger_count kept
    on kept.kind = 'dead' and kept.channel = channel.name and kept.label = cause.name
where dead.count > 0
