-- What operators have said of the channels, in one read: a row without an id is a pause, the others are limits.
-- Of Stripe's events none has a destination: a limit for one there is of our requests to Stripe, and no relay's. Nor is
-- the rate of a route of mail, which is chosen later.
select channel, null::bigint as id, null::text as tenant, null::text as destination,
    null::float8 as per_second, null::integer as in_flight
from postroom.channel_pause
union all
select channel, id, tenant, destination, per_second, in_flight from postroom.delivery_limit
where destination is null or channel <> 'stripe' and (channel <> 'email' or not starts_with(destination, 'route:'))
order by channel, id
