-- A file whose object is gone.
-- $1 file id
delete from postroom.export_file where id = $1 and delete_at is not null
