-- An event goes through the ledger under another message from now on, with all its effects.
-- $1 old message, $2 new one, $3 raw body
update postroom.stripe_event set message_id = $2, state = 'received', effects = true, settled_at = null, raw = $3
where message_id = $1
