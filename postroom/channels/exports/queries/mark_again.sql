-- A file was written again, or can not be, where $2 is null. A manifest changes with its content only.
-- $1 file id, $2 bytes or null, $3 sha256 or null
with done as (
    update postroom.export_file
    set again = false, size_bytes = coalesce($2, size_bytes), sha256 = coalesce($3, sha256)
    where id = $1
), changed as (
    select folder from postroom.export_file where id = $1 and sha256 <> $3::bytea
)
update postroom.export_partition p set version = version + 1, changed_at = now() from changed where p.folder = changed.folder
