-- Forget mirrored objects. $1 accounts, $2 object ids
delete from postroom.stripe_object o
using unnest($1::text[], $2::text[]) as gone (account, object_id)
where o.account = gone.account and o.object_id = gone.object_id
