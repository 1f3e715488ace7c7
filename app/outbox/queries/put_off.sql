-- Move the oldest due deliveries of destinations that may have no more just now out of the way of the others.
-- No attempt is spent. $1 channel, $2 destinations, $3 seconds, $4 at most
update postroom.delivery d
set due_at = now() + make_interval(secs => $3)
where d.ctid = any (array(
    select c.ctid from postroom.delivery c
    where c.channel = $1 and c.worker is null and c.due_at <= now() and c.destination = any ($2::text[])
        and c.state in ('pending', 'retry')
    order by c.due_at, c.seq
    limit $4
    for update skip locked))
