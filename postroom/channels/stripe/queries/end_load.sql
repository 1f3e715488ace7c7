-- Stripe will not list this type. $1 account, $2 live, $3 type, $4 why
update postroom.stripe_load set ended_at = now(), left_out = $4 where account = $1 and live = $2 and type = $3
