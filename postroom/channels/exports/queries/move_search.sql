-- Files up to this one were looked through; null: all were.
-- $1 search, $2 file id or null
with gone as (delete from postroom.export_search where id = $1 and $2::uuid is null)
update postroom.export_search set after = $2 where id = $1 and $2::uuid is not null
