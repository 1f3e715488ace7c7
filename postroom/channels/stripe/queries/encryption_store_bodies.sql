-- Write sealed bodies over what is there. One element an event: $1 message ids, $2 bodies
update postroom.stripe_event e set raw = s.raw
from unnest($1::uuid[], $2::bytea[]) as s (message_id, raw)
where e.message_id = s.message_id
