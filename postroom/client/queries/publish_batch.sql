-- Publish a batch and what follows it in the caller's transaction, all or nothing. $1 JSON array of messages, $2 JSON object,
-- $3 end or success: all as text. Returns of each message its id and that of what follows, if anything does
select concat_ws(' ', made.id, made.batch) as id
from postroom.publish_batch($1::text::jsonb, $2::text::jsonb, $3::text) made order by made."position"
