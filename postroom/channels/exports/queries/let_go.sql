-- A file that could not be written is anybody's. Until `taken_until` what was sent of it may still arrive.
-- $1 file id, $2 worker
update postroom.export_file set taken_by = null where id = $1 and taken_by = $2
