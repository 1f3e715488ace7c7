-- Mirrored objects of a batch of which access was not written, or by something older; locked, but for those that somebody
-- is writing now. $1 type, $2 and $3 after this id and account, $4 and $5 up to these
select o.account, o.object_id, o.updated_at, o.data::text as kept
from postroom.stripe_object o
left join postroom.stripe_access a on a.account = o.account and a.object_id = o.object_id
where o.type = $1 and (o.object_id, o.account) > ($2, $3) and (o.object_id, o.account) <= ($4, $5)
    and a.mirrored_at is distinct from o.updated_at
for no key update of o skip locked
