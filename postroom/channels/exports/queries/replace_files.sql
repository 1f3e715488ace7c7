-- The new file is stored and takes the place of others in one step: what it has, what the manifest lists, and when the
-- others are deleted. Without $3 it was not needed: nothing was left of them.
-- $1 new file, $2 its path, $3 bytes or null, $4 sha256, $5 lines, $6 records that were left out
-- $7 seconds until the others are deleted
with source as materialized (
    select id, folder, dataset, row_number() over (order by opened_at, id) as n
    from postroom.export_file where replaced_by = $1 and listed
), partition as (
    update postroom.export_partition p set version = version + 1, changed_at = now()
    where p.folder = (select folder from source limit 1)
    returning version
), removed as (
    update postroom.export_file f
    set listed = false, removed_in = partition.version, delete_at = now() + make_interval(secs => $7)
    from source, partition where f.id = source.id
), stored as (
    update postroom.export_file
    set stored_at = now(), created_at = opened_at, path = $2, size_bytes = $3, sha256 = $4, records = $5, listed = true
    where id = $1 and $3::bigint is not null
), dropped as (
    delete from postroom.export_record r using source where r.file_id = source.id and r.message_id = any ($6::uuid[])
), moved as (
    select r.message_id, row_number() over (order by source.n, r.position) as place
    from postroom.export_record r join source on source.id = r.file_id
    where r.message_id <> all ($6::uuid[])
), kept as (
    update postroom.export_record r set file_id = $1, position = moved.place
    from moved where r.message_id = moved.message_id and $3::bigint is not null
)
select (select count(*) from source) as sources
