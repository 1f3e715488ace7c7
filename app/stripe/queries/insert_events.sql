-- Book a batch of events beside their messages; what is known already stays as it is.
-- $1 accounts, $2 event ids, $3 message ids, $4 sources, $5 states, $6 types, $7 object types,
-- $8 object ids, $9 API versions, $10 livemodes, $11 thin, $12 created, $13 secret fingerprints, $14 raw bodies
insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_type,
    object_id, api_version, livemode, thin, event_created, secret, raw)
select *
from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::boolean[], $11::boolean[], $12::timestamptz[], $13::text[], $14::bytea[])
on conflict do nothing
