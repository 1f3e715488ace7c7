-- Take a closed file to write it. Nobody else gets it for $3 seconds, or until its worker is buried.
-- No row where it was given up. `taken`: by us. `stale`: it is stored, and its manifest may lack it. `fields`: those of its records, where it has a schema.
-- $1 file id, $2 worker, $3 seconds
with taken as (
    update postroom.export_file f
    set taken_by = $2, taken_until = now() + make_interval(secs => $3)
    where f.id = $1 and f.stored_at is null and f.delete_at is null
        and (f.taken_by is null or f.taken_by = $2 or f.taken_until <= now()
            or not exists (select from postroom.worker w where w.id = f.taken_by))
    returning f.id
)
select exists (select from taken) as taken, f.stored_at is not null as stored,
    coalesce(p.written < p.version, true) as stale, s.fields::text as fields
from postroom.export_file f
left join postroom.export_partition p on p.folder = f.folder
left join postroom.export_schema s on s.dataset = f.dataset and s.version = f.schema_version
where f.id = $1 and (f.delete_at is null or f.stored_at is not null)
