-- Hand back claims that were just made, with no attempt spent.
-- $1 worker; one element a claim: $2 message ids, $3 n, $4 claim numbers
update postroom.delivery d set worker = null, claimed_at = null
from unnest($2::uuid[], $3::smallint[], $4::integer[]) as c (message_id, n, claim_no)
where d.message_id = c.message_id and d.n = c.n and d.worker = $1 and d.claim_no = c.claim_no
