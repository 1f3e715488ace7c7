-- Take over what dead workers still hold and had surely started. $1 dead workers, $2 the worker that takes over, $3 at most
, held as materialized (
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
    c.state, c.attempts, date_part('epoch', c.due_at) as due_s, c.seq, m.type, m.tenant, m.key, coalesce(m.correlation_id, m.id::text) as correlation_id,
    m.traceparent, '{}' as payload, date_part('epoch', m.created_at) as created_s
from claimed c
join postroom.message m on m.id = c.message_id
