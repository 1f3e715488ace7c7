-- Subscriptions that a customer has in the mirror. $1 account, $2 customer, $3 as of before this moment
select a.object_id from postroom.stripe_access a
join postroom.stripe_object o on o.account = a.account and o.object_id = a.object_id
where a.account = $1 and a.customer = $2 and a.kind = 'product' and o.as_of < $3 and not o.deleted
