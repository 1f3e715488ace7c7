-- Mirrored objects of a batch that the current key has not sealed, locked. $1 and $2 after this account and
-- object, $3 and $4 up to these, $5 what the current key's texts begin with
select account, object_id, data::text as kept from postroom.stripe_object
where (account, object_id) > ($1, $2) and (account, object_id) <= ($3, $4)
    and not starts_with(coalesce(data ->> '$', ''), $5)
order by account, object_id
for no key update
