-- What Stripe says of the endpoints of an account. $1 account, $2 status, $3 why, where it is not enabled
update postroom.stripe_reconcile set endpoint = $2, endpoint_reason = $3 where account = $1
