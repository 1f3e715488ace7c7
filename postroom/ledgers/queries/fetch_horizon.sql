-- Whatever is not to be seen yet has this transaction id or a later one
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint
