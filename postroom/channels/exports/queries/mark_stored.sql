-- The file is durably in storage, and the manifest of its folder is to list it; the first to say so wins.
-- $1 file id, $2 path below the root of the storage, $3 bytes, $4 sha256, $5 lines
with stored as (
    update postroom.export_file
    set stored_at = now(), created_at = coalesce(created_at, opened_at), path = $2, size_bytes = $3, sha256 = $4,
        records = $5, listed = true, folder = coalesce(folder, regexp_replace($2, '/[^/]*$', ''))
    where id = $1 and stored_at is null and delete_at is null
    returning folder, dataset
)
insert into postroom.export_partition as p (folder, dataset, version)
select folder, dataset, 1 from stored
on conflict (folder) do update set version = p.version + 1, changed_at = now()
