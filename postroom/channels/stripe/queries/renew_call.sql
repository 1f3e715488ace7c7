-- Stripe keeps a refusal under this key: the next attempt needs another one. $1 message id, $2 number of the key,
-- $3 whether more attempts under it do not matter, for Stripe has told how the key ended
update postroom.stripe_call set key_no = key_no + 1, sends = 0, sent_at = null
where message_id = $1 and key_no = $2 and (sends = 1 or $3) and answered_at is null
