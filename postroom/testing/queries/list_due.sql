-- Deliveries of messages after the id $1 that are due at $2, or now if that is later, in the order in which they were published, as JSON.
select jsonb_build_object('message_id', m.id, 'n', d.n, 'channel', m.channel, 'type', m.type, 'tenant', m.tenant, 'key', m.key,
    'correlation_id', coalesce(m.correlation_id, ''), 'ordering_key', m.ordering_key, 'payload', m.payload, 'destination', d.destination,
    'endpoint_id', d.endpoint_id, 'seq', d.seq, 'due_s', extract(epoch from d.due_at), 'created_s', extract(epoch from m.created_at))::text
from (select $1::uuid as id, greatest(clock_timestamp(), $2::text::timestamptz) as at) moment
join postroom.message m on m.id > moment.id
join postroom.delivery d on d.message_id = m.id
where m.channel <> 'stripe' and d.worker is null
    and d.due_at <= moment.at and coalesce(d.expires_at, 'infinity') > moment.at
order by d.seq
limit 1001
