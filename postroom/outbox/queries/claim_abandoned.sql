-- Take over what dead workers still hold and had surely started. $1 dead workers, $2 the worker that takes over, $3 at most
with mine as materialized (
    select b.worker, m.message_id, m.n
    from postroom.claim_batch b cross join lateral unnest(b.message_ids, b.ns) as m(message_id, n)
    where b.worker = any ($1::bigint[])
), places as materialized (
    select h.place
    from mine cross join lateral (
        select d.ctid as place from postroom.delivery d
        where d.message_id = mine.message_id and d.n = mine.n and d.worker = mine.worker offset 0
    ) h
), held as materialized (
    select d.ctid as place from postroom.delivery d
    where d.ctid = any (array(select place from places))
        and d.worker = any ($1::bigint[]) and d.started_no = d.claim_no
    limit $3
    for update skip locked
), claimed as (
    update postroom.delivery d
    set worker = $2, claim_no = d.claim_no + 1, claimed_at = now(), started_no = d.claim_no + 1
    where d.ctid = any (array(select place from held))
    returning d.*
)
select c.message_id, c.n, c.worker, c.claim_no, c.channel, c.destination, c.endpoint_id, c.ordering_key,
    c.state, c.attempts, c.due_at, c.seq, m.type, m.tenant, m.key, coalesce(m.correlation_id, m.id::text) as correlation_id,
    m.traceparent, '{}' as payload, m.created_at
from claimed c
join postroom.message m on m.id = c.message_id
