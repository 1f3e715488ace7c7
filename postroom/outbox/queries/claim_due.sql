-- Lease due deliveries: first attempts and retries each from their own end of the index, so that
-- neither can starve the other. A delivery with an ordering key waits for the ones before it.
-- Each scan starts behind the last claimed one, not among claimed and dead entries.
-- $1 channel, $2 worker, $3 most first attempts, $4 most retries,
-- $5 and $6 due_at (epoch seconds) and seq of the last first attempt claimed, $7 and $8 the same for retries,
-- $9 and $10 the states of the lane: those of first attempts and of retries
with fresh as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.channel = $1 and d.state = $9 and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > (to_timestamp($5), $6)
        and (d.ordering_key is null or not exists (
            select from postroom.delivery e
            where e.ordering_key = d.ordering_key and e.channel = d.channel
                and e.destination = d.destination and e.seq < d.seq))
    order by d.due_at, d.seq
    limit $3
    for update skip locked
), again as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.channel = $1 and d.state = $10 and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > (to_timestamp($7), $8)
        and (d.ordering_key is null or not exists (
            select from postroom.delivery e
            where e.ordering_key = d.ordering_key and e.channel = d.channel
                and e.destination = d.destination and e.seq < d.seq))
    order by d.due_at, d.seq
    limit $4
    for update skip locked
), locked as (
    select place from fresh union all select place from again
)
