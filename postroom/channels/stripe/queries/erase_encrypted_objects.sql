-- Forget mirrored objects, and what gave access to the customers among them. $1 accounts, $2 object ids.
-- Returns how many.
with gone as (
    delete from postroom.stripe_object o
    using unnest($1::text[], $2::text[]) as found (account, object_id)
    where o.account = found.account and o.object_id = found.object_id
    returning o.account, o.object_id, o.type
), given as (
    delete from postroom.stripe_object o
    using gone g, postroom.stripe_access a
    where g.type = 'customer' and a.customer = g.object_id and a.account = g.account
        and o.account = a.account and o.object_id = a.object_id
    returning 1
)
select (select count(*) from gone) + (select count(*) from given)
