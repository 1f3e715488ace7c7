-- A file whose object is gone.
-- $1 file id
with gone as (
    delete from postroom.export_file where id = $1 and delete_at is not null returning id
)
delete from postroom.export_record where file_id = any (array(select id from gone))
