-- Forget claims of which everything has ended. $1 channel, $2 their workers, $3 ids
delete from postroom.claim_batch where channel = $1 and worker = any ($2::bigint[]) and id = any ($3::bigint[])
