-- Remove old attempts from the default partition: those of days that had no partition of their own when they
-- were written. It is empty as a rule. $1 days, $2 batch
with gone as (
    delete from postroom.attempt_default
    where ctid = any (array(
        select ctid from postroom.attempt_default where ended_at < now() - make_interval(days => $1) limit $2))
    returning 1
)
select count(*) from gone
