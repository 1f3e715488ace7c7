-- Forget claims of which everything has ended. $1 ids
delete from postroom.claim_batch where id = any ($1::bigint[])
