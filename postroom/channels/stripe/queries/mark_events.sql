-- Write down how the processing of events ended, unless they go by another message now. $1 message ids, $2 states
update postroom.stripe_event e set state = i.state, settled_at = now()
from unnest($1::uuid[], $2::text[]) as i(message_id, state)
where e.message_id = i.message_id
