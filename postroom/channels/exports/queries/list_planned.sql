-- Files that will have the records of others, and are not stored yet.
-- $1 most files
select n.id, n.path, n.payload_bytes from postroom.export_file n
where n.stored_at is null and n.id in (
    select f.replaced_by from postroom.export_file f where f.replaced_by is not null and f.delete_at is null)
order by n.id limit $1
