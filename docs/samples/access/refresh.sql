-- Ask for it, and commit: a runner hears of it then. $1 the id of the customer at Stripe
select postroom.refresh_customer($1) as asked
