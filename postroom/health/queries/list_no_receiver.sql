-- Webhooks that nobody listened to, by tenant and type, the most frequent first; of the newest messages only.
-- A key that came with its tenant from another ledger is no message.
-- $1 from this message id on, $2 how many messages to look at, $3 how many rows
select m.tenant, m.type, count(*) as count
from (
    select tenant, type, deliveries, published_by from postroom.message where id >= $1 order by id desc limit $2
) m
where m.deliveries = 0 and starts_with(m.published_by, 'ledger:') is not true
group by m.tenant, m.type
order by count(*) desc, m.tenant, m.type
limit $3
