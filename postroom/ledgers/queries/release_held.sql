-- Let go some of what was held for a tenant, in its order. $1 tenant, $2 how many
with few as materialized (
    select d.message_id, d.n
    from postroom.delivery d
    where d.tenant = $1 and d.channel = any (array['stripe', 'email', 'webhook', 'export', 'stripe_api'])
        and d.state in ('held', 'held_urgent', 'held_bulk')
    order by d.seq limit $2
    for update
), released as (
    update postroom.delivery d set state = 'pending' || substr(d.state, 5)
    from few where d.message_id = few.message_id and d.n = few.n
    returning d.channel
), woken as (
    select postroom.wake(each.channel) from (select distinct channel from released) each
)
select (select count(*) from released) as count, (select count(*) from woken) as woken
