-- A message to one endpoint only, whatever its types; by its key nobody takes it for what others miss. $1 endpoint, $2 type, $3 data as JSON text
with target as (
    select id, tenant, state from postroom.endpoint where id = $1
), made as (
    insert into postroom.message (id, channel, type, tenant, key, payload, deliveries)
    select new.id, 'webhook', $2, tenant, 'postroom.ping:' || new.id,
        jsonb_build_object('tenant', tenant, 'type', $2::text, 'data', $3::text::jsonb), 1
    from target, postroom.uuid7() as new (id)
    returning id
), queued as (
    insert into postroom.delivery (message_id, channel, destination, endpoint_id, due_at, tenant)
    select m.id, 'webhook', t.id::text, t.id,
        case when t.state = 'parked' then 'infinity'::timestamptz else now() end, t.tenant
    from made m, target t
)
select id from made
