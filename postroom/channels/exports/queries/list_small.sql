-- Small files of a folder, the oldest first. Not those that were stored less than $2 seconds ago: their manifest has just
-- been read.
-- $1 folder, $2 seconds, $3 bytes that are not small any more
select id, path, payload_bytes, records, schema_version is not null as has_schema from postroom.export_file
where folder = $1 and listed and replaced_by is null and payload_bytes between 1 and $3 - 1
    and stored_at <= now() - make_interval(secs => $2)
order by opened_at, id
