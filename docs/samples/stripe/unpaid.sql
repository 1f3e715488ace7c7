-- Who owes what: open invoices that are due, by customer.
select c.id, c.email, i.currency, count(*) as invoices, sum(i.amount_remaining) as owed, min(i.created) as oldest
from stripe.invoice i
join stripe.customer c on c.account = i.account and c.id = i.customer
where i.status = 'open' and i.livemode and coalesce(i.due_date, i.created) < now()
group by c.account, c.id, c.email, i.currency
order by owed desc
