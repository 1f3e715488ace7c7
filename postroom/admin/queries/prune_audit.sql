-- Forget what was done long ago. $1 days, $2 how many at most
select postroom.prune_audit($1, $2)
