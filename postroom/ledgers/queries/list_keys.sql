-- A tenant's keys among so many messages in the order of their ids, and up to where that is: the last row has no key.
-- Keys of what one event of Stripe's causes stay beside it, whose own key goes along; those that a route gave to what
-- several events tell go along with the owner of the event that came first. A key that came along once has no deliveries.
-- $1 tenant, $2 behind this id, $3 how many messages to look at
with page as materialized (
    select id, channel, type, tenant, key, deliveries, correlation_id, created_at
    from postroom.message where id > $2 order by id limit $3
), last as (
    select id from page order by id desc limit 1
)
(select id, channel, type, key, created_at from page
where key is not null and case when starts_with(key, 'stripe:') then postroom.is_of_owner($1, key, tenant, deliveries, correlation_id)
    else tenant = $1 end
order by id)
union all
select id, null, null, null, null from last
