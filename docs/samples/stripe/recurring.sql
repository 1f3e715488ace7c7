-- What each price brings in a month, from subscriptions that run.
select p.id, p.nickname, p.currency, count(distinct s.id) as subscriptions,
    sum(i.quantity * p.unit_amount / case p.recurring ->> 'interval' when 'year' then 12 else 1 end) as monthly
from stripe.subscription s
join stripe.subscription_items i on i.account = s.account and i.subscription_id = s.id
join stripe.price p on p.account = s.account and p.id = i.price ->> 'id'
where s.status in ('active', 'past_due') and s.livemode
group by p.account, p.id, p.nickname, p.currency
order by monthly desc
