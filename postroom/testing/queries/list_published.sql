-- What was published after the id $1, oldest first, as JSON; what Stripe told us is not.
select jsonb_build_object('message_id', m.id, 'channel', m.channel, 'type', m.type, 'tenant', m.tenant, 'key', m.key,
    'correlation_id', coalesce(m.correlation_id, ''), 'ordering_key', m.ordering_key, 'payload', m.payload)::text
from postroom.message m
where m.id > $1::uuid and m.channel <> 'stripe'
order by m.id
limit 2001
