-- The files that this one replaces, the oldest first.
-- $1 file id
select id, path, payload_bytes, stored_at from postroom.export_file
where replaced_by = $1 and listed order by opened_at, id
