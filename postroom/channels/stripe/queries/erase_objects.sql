-- Forget mirrored Stripe objects that hold the address. $1 pattern. Returns how many.
with gone as (
    delete from postroom.stripe_object where data::text ~* $1 returning 1
)
select count(*) from gone
