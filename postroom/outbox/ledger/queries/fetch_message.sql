-- One message with its payload. $1 id
select id, channel, type, tenant, key, correlation_id, ordering_key, deliveries, created_at, traceparent, published_by,
    payload::text as payload
from postroom.message where id = $1
