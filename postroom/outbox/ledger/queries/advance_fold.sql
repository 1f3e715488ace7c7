-- Add up for good what transactions that have all ended published.
with horizon as (
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid
)
update postroom.ledger_fold f
set xid = h.xid,
    (published, no_receiver) = (
        select f.published + coalesce(sum(m.deliveries), 0), f.no_receiver + count(*) filter (where m.deliveries = 0 and starts_with(m.published_by, 'ledger:') is not true)
        from postroom.message m where m.xid >= f.xid and m.xid < h.xid),
    cluster = (select system_identifier from pg_control_system())
from horizon h
where h.xid > f.xid
