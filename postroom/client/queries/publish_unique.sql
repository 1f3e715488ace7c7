-- Publish one message once in a while, or the last one only, in the caller's transaction. $1 channel, $2 payload, $3 key,
-- $4 tenant, $5 type, $6 correlation_id, $7 ordering_key, $8 deliver_at, $9 traceparent, $10 expires_at, $11 urgency,
-- $12 unique_for_s, $13 replace, $14 throttle_s: all as text, for every driver writes text alike
select made.id || ' ' || made.result as id from (
    values ($1::text, $2::text::jsonb, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text::timestamptz, $9::text,
        $10::text::timestamptz, $11::text, $12::text::float8, $13::text::boolean, $14::text::float8)
) m (channel, payload, key, tenant, type, correlation_id, ordering_key, deliver_at, traceparent, expires_at, urgency,
    unique_for_s, replace, throttle_s)
cross join lateral postroom.publish_unique(m.channel, m.payload, m.key, m.unique_for_s, m.replace, m.throttle_s, m.tenant,
    m.type, m.correlation_id, m.ordering_key, m.deliver_at, m.traceparent, m.expires_at, m.urgency) made
