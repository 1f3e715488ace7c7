-- Forget claims of which everything has ended. $1 channel, $2 workers, $3 when they were made
delete from postroom.claim_batch b
using unnest($2::bigint[], $3::timestamptz[]) as c(worker, claimed_at)
where b.channel = $1 and b.worker = c.worker and b.claimed_at = c.claimed_at
