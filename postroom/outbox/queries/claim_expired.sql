-- The end of `claim_expiring` and `claim_aged`: lease what they have locked. $1 worker
, claimed as (
    update postroom.delivery d
    set worker = $1, claim_no = d.claim_no + 1, claimed_at = now()
    where d.ctid = any (array(select place from locked))
    returning d.*
)
select c.message_id, c.n, c.worker, c.claim_no, c.channel, c.destination, c.endpoint_id, c.ordering_key,
    c.state, c.attempts, date_part('epoch', now()) as due_s, c.seq, m.type, m.tenant, m.key,
    coalesce(m.correlation_id, m.id::text) as correlation_id, m.traceparent, '{}' as payload, date_part('epoch', m.created_at) as created_s
from claimed c
join postroom.message m on m.id = c.message_id
