-- A file that could not be written is anybody's.
-- $1 file id, $2 worker
update postroom.export_file set taken_by = null, taken_until = null where id = $1 and taken_by = $2
