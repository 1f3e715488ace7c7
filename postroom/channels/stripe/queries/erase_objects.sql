-- Forget mirrored Stripe objects that hold the address, and what gave access to the customers among them. $1 pattern.
-- Returns how many.
with gone as (
    delete from postroom.stripe_object where data::text ~* $1 returning account, object_id, type
), given as (
    delete from postroom.stripe_object o
    using gone g, postroom.stripe_access a
    where g.type = 'customer' and a.customer = g.object_id and a.account = g.account
        and o.account = a.account and o.object_id = a.object_id
    returning 1
)
select (select count(*) from gone) + (select count(*) from given)
