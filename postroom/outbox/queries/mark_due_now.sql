-- Make due now what of one message waits for its time, and is held by nobody. $1 message id
update postroom.delivery set due_at = now()
where message_id = $1 and worker is null and due_at > now() and due_at < 'infinity'
returning channel
