-- Publish one message once in a while, or the last one only, in the caller's transaction. $1 channel, $2 payload, $3 key,
-- $4 unique_for_s, $5 replace, $6 throttle_s, $7 tenant, $8 type, $9 correlation_id, $10 ordering_key, $11 deliver_at,
-- $12 traceparent, $13 expires_at, $14 urgency: those that are no text as text
select id, result from postroom.publish_unique(
    $1, $2::text::jsonb, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
