-- Until the transaction ends, let an index by blocks (BRIN) be read, which needs a bitmap scan.
select set_config('enable_bitmapscan', 'on', true)
