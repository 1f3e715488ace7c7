-- What a customer has access to, and had. $1 customer, $2 account or null, $3 limit
select account, livemode, kind, name, active, until, why, renews, as_of, subscription
from stripe.customer_access
where customer = $1 and ($2::text is null or account = $2)
order by account, kind, name
limit $3
