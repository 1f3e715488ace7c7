-- Decide that one file will have the records of these, which are listed and nobody else's plan. Its name says when the
-- first of them was begun, so that names keep their order. All have a schema, or none: versions only grow. Whoever runs it has locked the files.
-- $1 file ids
with source as materialized (
    select id, dataset, folder, path, opened_at, payload_bytes, schema_version
    from postroom.export_file
    where id = any ($1::uuid[]) and listed and replaced_by is null
), first as (
    select * from source order by opened_at, id limit 1
), made as (
    insert into postroom.export_file
        (id, dataset, folder, path, records, payload_bytes, created_at, opened_at, schema_version)
    select n.id, first.dataset, first.folder,
        first.folder || '/' || to_char(first.opened_at at time zone 'utc', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || n.id
            || substring(first.path from '\.[a-z][a-z.]*$'),
        0, (select sum(payload_bytes) from source), null, first.opened_at, (select max(schema_version) from source)
    from first, (select postroom.uuid7() as id) n
    returning id
)
update postroom.export_file f set replaced_by = made.id from source, made where f.id = source.id
