-- Forget the signed bodies of erased Stripe events. $1 message ids
update postroom.stripe_event set raw = null where message_id = any ($1::uuid[]) and raw is not null
