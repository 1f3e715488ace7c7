-- The answer to a request, once it is there. $1 customer, $2 account, $3 what asking returned
select code, fault from stripe.customer_refresh where customer = $1 and account = $2 and answered >= $3
