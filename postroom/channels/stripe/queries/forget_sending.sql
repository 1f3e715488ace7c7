-- An attempt did not reach Stripe after all; others under this key that may have stay noted, and since when.
-- $1 message id, $2 number of the key
update postroom.stripe_call set sends = sends - 1, sent_at = case when sends > 1 then sent_at end
where message_id = $1 and key_no = $2 and answered_at is null
