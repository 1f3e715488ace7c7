-- Book a batch of events: their messages, the events beside them, and how many were known already.
-- One statement, because each trip to the server takes as long as two events do.
-- $1 messages, a JSON array as text; in the same order $2 accounts, $3 event ids, $4 sources, $5 states, $6 types,
-- $7 object types, $8 object ids, $9 API versions, $10 livemodes, $11 thin, $12 created, $13 secret fingerprints,
-- $14 whether they have effects, $15 raw bodies; $16 shard of the counter
-- One that only filled the mirror is taken over by the one that has effects.
with booked as materialized (
    select position, id, published from postroom.publish_many($1::text::jsonb)
), kept as (
    insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_type,
        object_id, api_version, livemode, thin, event_created, secret, effects, raw)
    select e.account, e.event_id, b.id, e.source, e.state, e.type, e.object_type,
        e.object_id, e.api_version, e.livemode, e.thin, e.event_created, e.secret, e.effects, e.raw
    from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::boolean[], $11::boolean[], $12::timestamptz[], $13::text[], $14::boolean[], $15::bytea[]) with ordinality
        as e (account, event_id, source, state, type, object_type, object_id, api_version,
            livemode, thin, event_created, secret, effects, raw, nr)
    join booked b on b.position = e.nr
    where b.published
    on conflict (account, event_id) do update
    set message_id = excluded.message_id, source = excluded.source, state = excluded.state, settled_at = null,
        api_version = excluded.api_version, secret = excluded.secret, effects = true, raw = excluded.raw,
        received_at = now()
    where excluded.effects and not stripe_event.effects
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'stripe_outcome', 'duplicate', $16, count(*) from booked where not published having count(*) > 0
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select id, published from booked order by position
