-- What belongs together: the message that caused this one, its other effects, and its own.
-- $1 message id, $2 its correlation id or null, $3 the same as UUID where it is one
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from postroom.message m
where m.id <> $1 and (m.correlation_id = $2 or m.correlation_id = $1::text or m.id = $3)
order by m.id
limit 100
