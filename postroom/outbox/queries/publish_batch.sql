-- Publish a batch and what follows it, in the caller's transaction. $1 JSON array of messages and $2 the task that follows, as
-- text, $3 `end` or `success`
select id, published, batch from postroom.publish_batch($1::text::jsonb, $2::text::jsonb, $3)
