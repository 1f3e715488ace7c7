-- Add records to the open file of their folder, or to a new one. Its name is decided here, once, by when it began.
-- A record that another worker has put into a file (one of an earlier version asks no lock) stays there.
-- One element a group, each of another folder: $1 folders, $2 datasets, $3 tenants, $4 days, $5 bytes, $6 records
-- One element a record: $7 message ids, $8 folders, $9 places in the group
-- $10 seconds that a new file stays open; 0 for none
-- `created_at` is set when the file is stored: workers of an earlier version make a file's name of it, and write
-- none that has none.
with coming as materialized (
    select g.*, postroom.uuid7() as id
    from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[], $6::integer[])
        as g (folder, dataset, tenant, day, bytes, records)
), partition as (
    insert into postroom.export_partition (folder, dataset, tenant, day)
    select folder, dataset, tenant, day from coming
    on conflict (folder) do nothing
), file as (
    insert into postroom.export_file as f (id, dataset, folder, path, records, payload_bytes, created_at, closes_at)
    select id, dataset, folder,
        folder || '/' || to_char(now() at time zone 'utc', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || id || '.ndjson.gz',
        records, bytes, null, case when $10::float8 > 0 then now() + make_interval(secs => $10) end
    from coming
    on conflict (folder) where closes_at is not null
    do update set records = f.records + excluded.records, payload_bytes = f.payload_bytes + excluded.payload_bytes
    returning f.id, f.folder, f.records
)
insert into postroom.export_record (message_id, file_id, position)
select line.message_id, file.id, file.records - coming.records + line.place
from unnest($7::uuid[], $8::text[], $9::integer[]) as line (message_id, folder, place)
join file using (folder)
join coming using (folder)
order by line.message_id
on conflict (message_id) do nothing
