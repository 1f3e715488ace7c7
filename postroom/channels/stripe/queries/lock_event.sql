-- An event that came in as a message, and where that message stands; locked until the transaction ends.
-- $1 message id
select e.account, e.raw, e.effects, m.tenant, coalesce(m.correlation_id, m.id::text) as correlation_id,
    exists (select from postroom.delivery d where d.message_id = e.message_id) as waits,
    exists (select from postroom.dead_letter l where l.message_id = e.message_id) as dead
from postroom.stripe_event e
join postroom.message m on m.id = e.message_id
where e.message_id = $1
for update of e
