-- Stripe says that the object is gone; its last state is kept.
-- $1 account, $2 object id, $3 as of
update postroom.stripe_object set deleted = true, as_of = greatest(as_of, $3), updated_at = now()
where account = $1 and object_id = $2
