-- Lease what waited for deliveries that have ended: of each ordering key the next one, if it is due.
-- `claim_due` would look at all that waits behind a key to find it. Of its commit the same is true.
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
), claimed as (
    update postroom.delivery d
    set worker = $2, claim_no = d.claim_no + 1, claimed_at = now()
    where d.ctid = any (array(select place from locked))
        and (select set_config('synchronous_commit', 'off', true)) = 'off'
    returning d.*
)
select c.message_id, c.n, c.worker, c.claim_no, c.channel, c.destination, c.endpoint_id, c.ordering_key,
    c.state, c.attempts, c.due_at, c.seq, m.type, m.tenant, m.key,
    coalesce(m.correlation_id, m.id::text) as correlation_id, m.traceparent, m.payload, m.created_at
from claimed c
join postroom.message m on m.id = c.message_id
order by c.due_at, c.seq
