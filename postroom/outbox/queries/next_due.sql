-- Seconds until the next delivery of a channel is due, or null. $1 channel
select extract(epoch from min(due_at) - now())::float8
from (
    (select due_at from postroom.delivery where channel = $1 and state = 'pending' and worker is null
     order by due_at limit 1)
    union all
    (select due_at from postroom.delivery where channel = $1 and state = 'retry' and worker is null
     order by due_at limit 1)
) first
where due_at < 'infinity'
