-- Lease what waited for deliveries that have ended: of each ordering key the next one, if it is due.
-- `claim_due` would look at all that waits behind a key to find it.
-- $1 channel, $2 worker, $3 ordering keys, $4 their destinations
with next as materialized (
    select first.place
    from unnest($3::text[], $4::text[]) as k(ordering_key, destination)
    cross join lateral (
        select d.ctid as place, d.worker, d.due_at
        from postroom.delivery d
        where d.ordering_key = k.ordering_key and d.channel = $1 and d.destination = k.destination
        order by d.seq limit 1
    ) first
    where first.worker is null and first.due_at <= now()
), locked as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.ctid = any (array(select place from next)) and d.worker is null and d.due_at <= now()
    for update skip locked
)
