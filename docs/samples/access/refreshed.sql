-- A row: it is done, and `fault` says why it could not be, if so. $1 the customer, $2 what `refresh_customer` returned
select code, fault
from stripe.customer_refresh
where account = 'self' and customer = $1 and answered >= $2
