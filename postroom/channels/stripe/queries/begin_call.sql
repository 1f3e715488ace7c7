-- Note that a call may reach Stripe from now on, and how it stands. $1 message id, $2 account
insert into postroom.stripe_call as c (message_id, account, sends, sent_at) values ($1, $2, 1, now())
on conflict (message_id) do update set sends = c.sends + 1, sent_at = coalesce(c.sent_at, now())
returning c.key_no, c.sends, c.sent_at, now() as at, c.answered_at is not null as answered, c.object_id
