-- Mirrored objects of a batch of which access was not written, or by something older; locked, but for those that somebody
-- is writing now. Each is looked up by itself: merged, the rows of all objects would be read for each batch.
-- $1 type, $2 and $3 after this id and account, $4 and $5 up to these
select o.account, o.object_id, o.updated_at, o.data::text as kept
from postroom.stripe_object o
left join lateral (
    select mirrored_at from postroom.stripe_access where account = o.account and object_id = o.object_id offset 0
) a on true
where o.type = $1 and (o.object_id, o.account) > ($2, $3) and (o.object_id, o.account) <= ($4, $5)
    and a.mirrored_at is distinct from o.updated_at
for no key update of o skip locked
