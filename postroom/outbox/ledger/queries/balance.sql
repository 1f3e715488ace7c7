-- Both sides of the ledger, in the caller's snapshot. What a person sends again counts as published once more.
select
    (f.published + coalesce(since.published, 0)
        + coalesce((select sum(value) from postroom.tally where name = 'resent'), 0))::bigint as published,
    coalesce((select sum(value) from postroom.tally where name = 'ended' and label like '%/delivered'), 0)::bigint
        as delivered,
    (select count(*) from postroom.delivery) as open,
    (select count(*) from postroom.dead_letter) as dead,
    coalesce((select sum(value) from postroom.tally where name = 'ended' and label like '%/cancelled'), 0)::bigint
        as cancelled,
    f.no_receiver + since.no_receiver as no_receiver
from postroom.ledger_fold f
cross join lateral (
    select sum(m.deliveries) as published, count(*) filter (where m.deliveries = 0 and starts_with(m.published_by, 'ledger:') is not true) as no_receiver
    from postroom.message m where m.xid >= f.xid
) since
