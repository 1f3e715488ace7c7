-- The file that each record belongs to. One that a worker of an earlier version made has a name that follows from
-- when it was made. `open_s`: seconds until it closes; null when it is closed. `stale`: the manifest may lack something.
-- $1 message ids
select r.message_id, f.id, f.stored_at, f.folder, f.payload_bytes,
    coalesce(f.path, f.dataset || to_char(f.created_at at time zone 'utc', '"/dt="YYYY-MM-DD"/"YYYYMMDD"T"HH24MISS"Z-"')
        || f.id || '.ndjson.gz') as path,
    extract(epoch from f.closes_at - now())::float8 as open_s,
    f.stored_at is not null and coalesce(p.written < p.version, false) as stale
from postroom.export_record r
join postroom.export_file f on f.id = r.file_id
left join postroom.export_partition p on p.folder = f.folder
where r.message_id = any ($1::uuid[])
