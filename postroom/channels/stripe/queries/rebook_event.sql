-- An event goes through the ledger under another message from now on. $1 old message, $2 new one, $3 raw body
update postroom.stripe_event set message_id = $2, state = 'received', settled_at = null, raw = $3
where message_id = $1
