-- Publish a batch in the caller's transaction. $1 JSON array of messages, as text
select id, published from postroom.publish_many($1::text::jsonb)
