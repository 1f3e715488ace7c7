-- Lease due deliveries: first attempts and retries each from their own end of the index, so that
-- neither can starve the other. A delivery with an ordering key waits for the ones before it.
-- A claim need not survive a crash of the server: it would only be made again, and the fence holds. So
-- its commit does not wait for the disk.
-- Each scan starts behind the last claimed one, not among claimed and dead entries.
-- $1 channel, $2 worker, $3 most first attempts, $4 most retries,
-- $5 and $6 due_at and seq of the last first attempt claimed, $7 and $8 the same for retries
with fresh as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.channel = $1 and d.state = 'pending' and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > ($5, $6)
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
    where d.channel = $1 and d.state = 'retry' and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > ($7, $8)
        and (d.ordering_key is null or not exists (
            select from postroom.delivery e
            where e.ordering_key = d.ordering_key and e.channel = d.channel
                and e.destination = d.destination and e.seq < d.seq))
    order by d.due_at, d.seq
    limit $4
    for update skip locked
), claimed as (
    update postroom.delivery d
    set worker = $2, claim_no = d.claim_no + 1, claimed_at = now()
    where d.ctid = any (array(select place from fresh union all select place from again))
        and (select set_config('synchronous_commit', 'off', true)) = 'off'
    returning d.*
)
select c.message_id, c.n, c.worker, c.claim_no, c.channel, c.destination, c.endpoint_id, c.ordering_key,
    c.state, c.attempts, c.due_at, c.seq, m.type, m.tenant, m.key,
    coalesce(m.correlation_id, m.id::text) as correlation_id, m.traceparent, m.payload, m.created_at
from claimed c
join postroom.message m on m.id = c.message_id
order by c.due_at, c.seq
