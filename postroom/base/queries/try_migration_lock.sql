-- Whether the lock of migrations is ours, until the end of the transaction. $1 its number
select pg_try_advisory_xact_lock($1)
