-- What operators have said of the channels, in one read: a row without an id is a pause, the others are limits.
select channel, null::bigint as id, null::text as tenant, null::text as destination,
    null::float8 as per_second, null::integer as in_flight
from postroom.channel_pause
union all
select channel, id, tenant, destination, per_second, in_flight from postroom.delivery_limit
order by channel, id
