-- Forget what was done long ago. $1 days, $2 how many at most
delete from postroom.audit
where id in (
    select id from postroom.audit where at < now() - make_interval(days => $1) order by at limit $2)
returning 1
