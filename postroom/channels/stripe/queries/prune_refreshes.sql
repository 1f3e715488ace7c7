-- Forget requests that were answered long ago. $1 days, $2 how many at most
delete from postroom.stripe_refresh
where (account, customer) in (
    select account, customer from postroom.stripe_refresh
    where answered_at < now() - make_interval(days => $1) and due_at is null
    order by answered_at limit $2)
returning 1
