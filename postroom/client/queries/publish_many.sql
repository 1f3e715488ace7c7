-- Publish a batch in the caller's transaction, all or nothing. $1 JSON array of messages, as text
select many.id::text as id from postroom.publish_many($1::text::jsonb) many order by many."position"
