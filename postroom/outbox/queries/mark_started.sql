-- Write down that deliveries are being started, whose worker died before. What comes back is still held under its claim.
-- $1 message ids, $2 n, $3 workers, $4 claim numbers
update postroom.delivery d
set started_no = c.claim_no
from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::integer[]) as c(message_id, n, worker, claim_no)
where d.message_id = c.message_id and d.n = c.n and d.worker = c.worker and d.claim_no = c.claim_no
returning d.message_id, d.n
