-- Move deliveries that are due to destinations which take none just now out of the way of the others, and
-- out of what counts as late. Looks at the oldest $4 of each state. No attempt is spent.
-- $1 channel, $2 destinations, $3 seconds for each, $4 how many to look at,
-- $5 and $6 the states of the lane
with oldest as materialized (
    (select c.ctid as place, c.destination from postroom.delivery c
     where c.channel = $1 and c.state = $5 and c.worker is null and c.due_at <= now()
     order by c.due_at, c.seq limit $4)
    union all
    (select c.ctid, c.destination from postroom.delivery c
     where c.channel = $1 and c.state = $6 and c.worker is null and c.due_at <= now()
     order by c.due_at, c.seq limit $4)
), locked as materialized (
    select d.ctid as place, d.destination from postroom.delivery d
    where d.ctid = any (array(select o.place from oldest o where o.destination = any ($2::text[])))
        and d.worker is null and d.due_at <= now()
    for update skip locked
)
update postroom.delivery d
set due_at = now() + make_interval(secs => off.delay_s)
from locked join unnest($2::text[], $3::float8[]) as off(destination, delay_s) using (destination)
where d.ctid = locked.place
