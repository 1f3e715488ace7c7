-- The end of `claim_due`, `claim_around` and `claim_behind`: lease what they have locked. $1 channel, $2 worker
-- Whoever reads the rows puts them in order, for which PostgreSQL copies each of them.
-- A claim is as durable as what was published: one that a crash of the server forgets leaves a second sending
-- that no attempt explains. It is one flush for up to 500. Its note in `claim_batch` is how a worker's claims are found.
-- Times are sent as numbers: a driver takes ten times as long for a timestamp as for a float.
-- A payload of more than 16 kB, as it is stored, is left out: `list_large_payloads` has those that fit into one claim.
, claimed as (
    update postroom.delivery d
    set worker = $2, claim_no = d.claim_no + 1, claimed_at = now()
    where d.ctid = any (array(select place from locked))
    returning d.message_id, d.n, d.claim_no, d.destination, d.endpoint_id, d.ordering_key, d.state, d.attempts, d.due_at, d.seq,
        d.since, d.expires_at, d.started_no, d.content_hash
), noted as (
    insert into postroom.claim_batch (worker, channel, message_ids, ns)
    select $2, $1, array_agg(message_id), array_agg(n) from claimed having count(*) > 0
    returning id
)
select c.message_id, c.n, $2, c.claim_no, $1, c.destination, c.endpoint_id, c.ordering_key,
    c.state, c.attempts, date_part('epoch', c.due_at) as due_s, c.seq, m.type, m.tenant, m.key,
    coalesce(m.correlation_id, m.id::text) as correlation_id, m.traceparent,
    case when pg_column_size(m.payload) <= 16384 then m.payload end as payload,
    date_part('epoch', m.created_at) as created_s,
    (select date_part('epoch', now())) as claimed_s, date_part('epoch', c.since) as since_s,
    date_part('epoch', c.expires_at) as expires_s, c.started_no, (select id from noted) as batch_id,
    c.content_hash
from claimed c
join postroom.message m on m.id = c.message_id
