-- Write down how the processing of events ended. $1 accounts, $2 event ids, $3 states
update postroom.stripe_event e set state = i.state, settled_at = now()
from unnest($1::text[], $2::text[], $3::text[]) as i(account, event_id, state)
where e.account = i.account and e.event_id = i.event_id
