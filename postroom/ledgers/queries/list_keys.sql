-- A tenant's keys among so many messages in the order of their ids, and up to where that is: the last row has no key.
-- What Stripe's events cause stays where they came in; the events' own keys go along. $1 tenant, $2 behind this id, $3 how many messages to look at
with page as materialized (
    select id, channel, type, tenant, key, created_at from postroom.message where id > $2 order by id limit $3
), last as (
    select id from page order by id desc limit 1
)
(select id, channel, type, key, created_at from page
where tenant = $1 and key is not null and not starts_with(key, 'stripe:') order by id)
union all
select id, null, null, null, null from last
