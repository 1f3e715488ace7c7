-- Both sides of the ledger, in the caller's snapshot.
select
    f.published + coalesce((select sum(m.deliveries) from postroom.message m where m.xid >= f.xid), 0)::bigint
        as published,
    coalesce((select sum(value) from postroom.tally where name = 'ended' and label like '%/delivered'), 0)::bigint
        as delivered,
    (select count(*) from postroom.delivery) as open,
    (select count(*) from postroom.dead_letter) as dead,
    coalesce((select sum(value) from postroom.tally where name = 'ended' and label like '%/cancelled'), 0)::bigint
        as cancelled
from postroom.ledger_fold f
