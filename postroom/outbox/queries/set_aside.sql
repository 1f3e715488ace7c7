-- Let go of claims whose place in the order is decided: they are due at a moment, and what follows them in their
-- ordering key may go. No attempt is spent.
-- One element a claim: $1 message ids, $2 n, $3 workers (null: the transaction has it locked), $4 claim numbers, $5 seconds;
-- $6 why they wait
update postroom.delivery d
set worker = null, claimed_at = null, started_no = null, ordering_key = null,
    due_at = now() + make_interval(secs => c.delay_s), last_reason = $6
from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::integer[], $5::float8[])
    as c (message_id, n, worker, claim_no, delay_s)
where d.message_id = c.message_id and d.n = c.n and d.worker is not distinct from c.worker and d.claim_no = c.claim_no
