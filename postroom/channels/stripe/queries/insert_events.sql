-- Keep a batch of events beside their messages; what is known already stays as it is,
-- unless it only filled the mirror and this one has effects.
-- $1 message ids; in the same order $2 accounts, $3 event ids, $4 sources, $5 states, $6 types, $7 object types,
-- $8 object ids, $9 API versions, $10 livemodes, $11 thin, $12 created, $13 secret fingerprints,
-- $14 whether they have effects, $15 raw bodies
insert into postroom.stripe_event (message_id, account, event_id, source, state, type, object_type,
    object_id, api_version, livemode, thin, event_created, secret, effects, raw)
select *
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::boolean[], $11::boolean[], $12::timestamptz[], $13::text[], $14::boolean[],
    $15::bytea[])
on conflict (account, event_id) do update
set message_id = excluded.message_id, source = excluded.source, state = excluded.state, settled_at = null,
    api_version = excluded.api_version, secret = excluded.secret, effects = true, raw = excluded.raw,
    received_at = now()
where excluded.effects and not stripe_event.effects
