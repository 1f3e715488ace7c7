-- After a restore into another cluster: transaction ids from its future are the old cluster's. They become 0, so
-- that they are neither counted again nor kept from retention. A batch in the order of ids; the last id of it comes
-- back, null at the end. $1 after this id, $2 at most
with batch as materialized (
    select id, xid from postroom.message where id > $1 order by id limit $2
), forgotten as (
    update postroom.message m set xid = 0 from batch b
    where m.id = b.id and b.xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
)
select id from batch order by id desc limit 1
