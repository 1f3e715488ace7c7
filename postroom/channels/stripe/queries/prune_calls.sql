-- Forget calls whose messages retention has removed. Message ids begin with their time: what is too young is not
-- even looked at. $1 days, $2 how many at most
delete from postroom.stripe_call
where message_id in (
    select c.message_id from postroom.stripe_call c
    where c.message_id < (lpad(to_hex((extract(epoch from now() - make_interval(days => $1)) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
        and not exists (select from postroom.message m where m.id = c.message_id)
    order by c.message_id limit $2)
returning 1
