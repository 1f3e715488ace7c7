-- Publish one message in the caller's transaction. $1 channel, $2 payload, $3 key, $4 tenant, $5 type, $6 correlation_id,
-- $7 ordering_key, $8 deliver_at, $9 traceparent, $10 expires_at, $11 urgency: all as text, for every driver writes text alike
select postroom.publish(
    $1::text, $2::text::jsonb, $3::text, $4::text, $5::text, $6::text,
    $7::text, $8::text::timestamptz, $9::text, $10::text::timestamptz, $11::text
)::text as id
