-- The events that payloads refer to. $1 message ids
select id, payload::text as payload from postroom.message where id = any ($1::uuid[])
