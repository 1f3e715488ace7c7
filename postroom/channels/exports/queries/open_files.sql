-- The open file of each folder, or a new one, which more records are to be added to. Its name is decided here, once, by
-- when it began.
-- One element a group, each of another folder: $1 folders, $2 datasets, $3 tenants, $4 days, $5 ends of names, $6 bytes,
-- $7 records, $8 whether they are held to a schema: a file belongs to the version that is the newest when it begins
-- $9 seconds that a new file stays open; 0 for none
-- `created_at` is set when the file is stored: workers of an earlier version make a file's name of it, and write
-- none that has none. `open_s`: seconds until it closes; null when it is closed.
with coming as materialized (
    select g.*, postroom.uuid7() as id
    from unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[], $7::integer[],
        $8::boolean[]) as g (folder, dataset, tenant, day, suffix, bytes, records, held)
), partition as (
    insert into postroom.export_partition (folder, dataset, tenant, day)
    select folder, dataset, tenant, day from coming
    on conflict (folder) do nothing
)
insert into postroom.export_file as f (id, dataset, folder, path, records, payload_bytes, created_at, closes_at,
    schema_version)
select id, dataset, folder,
    folder || '/' || to_char(now() at time zone 'utc', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || id || suffix,
    records, bytes, null, case when $9::float8 > 0 then now() + make_interval(secs => $9) end,
    case when held then (select max(s.version) from postroom.export_schema s where s.dataset = coming.dataset) end
from coming
on conflict (folder) where closes_at is not null
do update set records = f.records + excluded.records, payload_bytes = f.payload_bytes + excluded.payload_bytes
returning f.id, f.folder, f.path, f.records, f.payload_bytes, extract(epoch from f.closes_at - now())::float8 as open_s
