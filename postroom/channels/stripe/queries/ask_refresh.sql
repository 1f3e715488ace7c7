-- Have a customer's access fetched. $1 customer, $2 account
select postroom.refresh_customer($1, $2) as asked
