-- What this customer may use now. $1 the id of the customer at Stripe
select name, until, why, as_of
from stripe.customer_access
where account = 'self' and customer = $1 and active
