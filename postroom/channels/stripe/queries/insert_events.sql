-- Keep a batch of events beside their messages; what is known already stays as it is.
-- $1 message ids; in the same order $2 accounts, $3 event ids, $4 sources, $5 states, $6 types, $7 object types,
-- $8 object ids, $9 API versions, $10 livemodes, $11 thin, $12 created, $13 secret fingerprints, $14 raw bodies
insert into postroom.stripe_event (message_id, account, event_id, source, state, type, object_type,
    object_id, api_version, livemode, thin, event_created, secret, raw)
select *
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::boolean[], $11::boolean[], $12::timestamptz[], $13::text[], $14::bytea[])
on conflict do nothing
