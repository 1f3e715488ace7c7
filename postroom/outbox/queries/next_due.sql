-- Seconds until the next delivery of a channel is due, or null. $1 channel, $2 all states
select extract(epoch from min(first.due_at) - now())::float8
from unnest($2::text[]) state (name)
cross join lateral (
    select d.due_at from postroom.delivery d
    where d.channel = $1 and d.state = state.name and d.worker is null
    order by d.due_at limit 1
) first
where first.due_at < 'infinity'
