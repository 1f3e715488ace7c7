-- Close open files: those that hold one of the records $6, which are due again, for the time is over or somebody wants
-- them now; those that are full; and those that a group is meant for, where the time is over, they have no room for it, or another
-- format or, of NDJSON, version of the schema: the columns of the others only grow. A record whose delivery is gone, cancelled or dead, is not in a file that closes; replayed, it
-- gets another one.
-- Each delivery is looked up by its key, whatever PostgreSQL believes of the table.
-- One element a group, each of another folder: $1 folders, $2 bytes, $3 records, $4 ends of names,
-- $5 whether they are held to a schema
-- $6 message ids, $7 most bytes of a file, $8 most records
with closing as materialized (
    select f.id
    from postroom.export_file f
    left join unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::boolean[])
        as coming (folder, bytes, records, suffix, held) using (folder)
    where f.closes_at is not null and (
        f.records >= $8
        or f.payload_bytes + coming.bytes > $7 or f.records + coming.records > $8
        or right(f.path, length(coming.suffix)) <> coming.suffix
        or coming.folder is not null and (f.closes_at <= now() or f.path like '%.ndjson.gz' and f.schema_version is distinct from
            case when coming.held then (select max(s.version) from postroom.export_schema s where s.dataset = f.dataset) end)
        or f.id in (select r.file_id from postroom.export_record r where r.message_id = any ($6::uuid[])))
), gone as (
    delete from postroom.export_record
    where ctid = any (array(
        select r.place from closing
        cross join lateral (
            select e.ctid as place from postroom.export_record e
            where e.file_id = closing.id
                and not exists (select from postroom.delivery d where d.message_id = e.message_id offset 0)
            offset 0
        ) r))
)
update postroom.export_file f
set closes_at = null,
    schema_version = case when f.path like '%.ndjson.gz' then f.schema_version
        else (select max(s.version) from postroom.export_schema s where s.dataset = f.dataset) end
from closing
where f.id = closing.id
returning f.id, f.path, f.payload_bytes, exists (
    select from postroom.export_record r
    where r.file_id = f.id and exists (
        select from postroom.delivery d where d.message_id = r.message_id offset 0)) as waits
