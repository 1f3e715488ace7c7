-- Deliveries of messages after the id $1 that are due at $2, or now if that is later, in the order in which they were published, as JSON;
-- and what follows a batch that has not ended in the ledger, with the members that are open there, and whether each has expired by then.
select jsonb_build_object('sent', jsonb_build_object('message_id', m.id, 'n', d.n, 'channel', m.channel, 'type', m.type, 'tenant', m.tenant,
        'key', m.key, 'correlation_id', coalesce(m.correlation_id, ''), 'ordering_key', m.ordering_key, 'payload', m.payload,
        'destination', d.destination, 'endpoint_id', d.endpoint_id, 'seq', d.seq, 'due_s', extract(epoch from least(d.due_at, moment.at)),
        'created_s', extract(epoch from m.created_at),
        'batch', case when b.size is not null
            then jsonb_build_object('size', b.size, 'delivered', b.delivered, 'dead', b.dead, 'cancelled', b.cancelled) end),
    'in_batch', d.batch is not null, 'follows_on', b.follows_on, 'members', coalesce(open.members, '[]'))::text
from (select $1::uuid as id, greatest(clock_timestamp(), $2::text::timestamptz) as at) moment
join postroom.message m on m.id > moment.id
join postroom.delivery d on d.message_id = m.id
left join postroom.batch b on b.message_id = m.id
left join lateral (
    select jsonb_agg(jsonb_build_array(o.message_id, o.n, coalesce(o.expires_at, 'infinity') <= moment.at)) as members
    from postroom.delivery o
    where o.batch = b.message_id
) open on true
where m.channel <> 'stripe' and d.worker is null
    and (d.due_at <= moment.at or d.due_at = 'infinity' and b.size is not null) and coalesce(d.expires_at, 'infinity') > moment.at
order by d.seq
limit 2001
