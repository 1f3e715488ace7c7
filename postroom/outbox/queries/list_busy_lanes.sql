-- Of some states of a channel, those in which something is due. $1 channel, $2 states
-- One state after the other: of an `exists` PostgreSQL might make one scan of all that is due.
select state.name as state
from unnest($2::text[]) state (name)
cross join lateral (
    select d.due_at from postroom.delivery d
    where d.channel = $1 and d.state = state.name and d.worker is null and d.due_at <= now()
    order by d.due_at limit 1
) first
