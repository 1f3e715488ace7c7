-- After a restore into another cluster: its transaction ids start elsewhere, so what was published cannot be
-- added up by them. The other side of the ledger is taken as true, with the drift that was known, and from
-- here on it is added up again. One row comes back when this was needed.
with here as (
    select system_identifier as cluster, pg_snapshot_xmin(pg_current_snapshot())::text::bigint as low,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint as high
    from pg_control_system()
)
update postroom.ledger_fold f
set xid = here.low, cluster = here.cluster,
    published = coalesce((select sum(value) from postroom.tally
            where name = 'ended' and (label like '%/delivered' or label like '%/cancelled')), 0)
        + (select count(*) from postroom.delivery)
        + (select count(*) from postroom.dead_letter)
        + coalesce((select c.drift from postroom.ledger_check c), 0)
        - coalesce((select sum(m.deliveries) from postroom.message m
            where m.xid >= here.low and m.xid < here.high), 0),
    no_receiver = coalesce((select c.no_receiver from postroom.ledger_check c), f.no_receiver)
        - (select count(*) from postroom.message m
            where m.xid >= here.low and m.xid < here.high
                and m.deliveries = 0 and starts_with(m.published_by, 'ledger:') is not true)
from here
where f.cluster <> here.cluster
returning f.published
