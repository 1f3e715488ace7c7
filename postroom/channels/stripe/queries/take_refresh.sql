-- Take the request that has been due for longest. $1 after how long it is due again, should its worker die
update postroom.stripe_refresh r set due_at = now() + $1::interval
from (
    select account, customer from postroom.stripe_refresh where due_at <= now()
    order by due_at limit 1 for update skip locked
) next
where r.account = next.account and r.customer = next.customer
returning r.account, r.customer, r.asked_at
