-- Take a file that will have the records of others, and is not stored yet; for $1 seconds nobody else gets it.
update postroom.export_file t
set taken_until = now() + make_interval(secs => $1)
where t.id = (
    select n.id from postroom.export_file n
    where n.stored_at is null and (n.taken_until is null or n.taken_until < now()) and n.id in (
        select f.replaced_by from postroom.export_file f where f.replaced_by is not null and f.delete_at is null)
    order by n.id limit 1 for update skip locked)
returning t.id, t.path, t.payload_bytes
