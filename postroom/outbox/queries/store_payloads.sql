-- Write sealed payloads over what is there. One element a message: $1 ids, $2 payloads as JSON text
update postroom.message m set payload = s.payload::jsonb
from unnest($1::uuid[], $2::text[]) as s (id, payload)
where m.id = s.id
