-- Whether an index is ready for use; null where there is none. $1 its name
select indisvalid from pg_index where indexrelid = to_regclass($1)
