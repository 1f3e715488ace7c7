-- What operators have said of the channels, in one read: a row without an id is a pause, the others are limits.
-- Of Stripe's events none has a destination: a limit for one there is of our requests to Stripe, and no relay's.
select channel, null::bigint as id, null::text as tenant, null::text as destination,
    null::float8 as per_second, null::integer as in_flight
from postroom.channel_pause
union all
select channel, id, tenant, destination, per_second, in_flight from postroom.delivery_limit
where channel <> 'stripe' or destination is null
order by channel, id
