-- Write sealed objects over what is there. One element an object: $1 accounts, $2 object ids, $3 JSON texts
update postroom.stripe_object o set data = s.data::jsonb
from unnest($1::text[], $2::text[], $3::text[]) as s (account, object_id, data)
where o.account = s.account and o.object_id = s.object_id
