-- The file is durably in storage; the first to say so wins.
-- $1 file id, $2 path below the root of the storage, $3 bytes, $4 sha256, $5 lines
update postroom.export_file
set stored_at = now(), created_at = coalesce(created_at, opened_at), path = $2, size_bytes = $3, sha256 = $4, records = $5
where id = $1 and stored_at is null
