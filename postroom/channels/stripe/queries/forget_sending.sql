-- The only attempt under this key did not reach Stripe after all. $1 message id, $2 number of the key
update postroom.stripe_call set sends = 0, sent_at = null
where message_id = $1 and key_no = $2 and sends = 1 and answered_at is null
