-- Forget versions that nothing was rendered from for so long. $1 days, $2 batch. Returns how many.
with gone as (
    delete from postroom.email_template
    where hash in (
        select hash from postroom.email_template
        where last_used_at < now() - make_interval(days => $1) order by last_used_at limit $2)
    returning 1
)
select count(*) from gone
