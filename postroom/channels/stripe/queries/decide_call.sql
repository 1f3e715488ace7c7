-- A person has looked whether Stripe has done it. $1 message id, $2 whether it has, $3 what it made, if known
-- If not, the next attempt is another call, under another key. What Stripe has answered already stays.
update postroom.stripe_call
set answered_at = case when $2 then now() end,
    object_id = case when $2 then coalesce($3::text, object_id) end,
    key_no = key_no + (not $2)::int, sends = case when $2 then sends else 0 end,
    sent_at = case when $2 then sent_at end
where message_id = $1 and answered_at is null
returning account
