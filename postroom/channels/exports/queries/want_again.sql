-- Have the job `export-files` write stored files again.
-- $1 file ids
update postroom.export_file set again = true where id = any ($1::uuid[]) and stored_at is not null
