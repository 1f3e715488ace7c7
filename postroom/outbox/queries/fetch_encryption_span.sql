-- Which transactions' messages are to be sealed next: those from `low` to below `high`, all of them ended
-- below `horizon`. The first run starts at the present. $1 at most so many transactions
with horizon as (
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid
)
insert into postroom.sealing_mark as mark (xid)
select xid from horizon
on conflict (only_one) do update set xid = least(mark.xid, excluded.xid)
returning mark.xid as low, least(mark.xid + $1, (select xid from horizon)) as high,
    (select xid from horizon) as horizon
