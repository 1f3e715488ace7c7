-- Write down how the processing of an event ended. $1 account, $2 event id, $3 state
update postroom.stripe_event set state = $3, settled_at = now() where account = $1 and event_id = $2
