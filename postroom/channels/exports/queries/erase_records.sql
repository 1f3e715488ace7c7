-- Records of erased messages are to be in no file. One that is open forgets them; of others the job `export-files` makes
-- files without them. $1 message ids. Returns those files, as far as they are stored, each once.
with forgotten as (
    delete from postroom.export_record r using postroom.export_file f
    where r.message_id = any ($1::uuid[]) and f.id = r.file_id and f.closes_at is not null
), erased as (
    update postroom.export_record r set erased = true from postroom.export_file f
    where r.message_id = any ($1::uuid[]) and f.id = r.file_id and f.closes_at is null
    returning r.file_id
)
select distinct f.path from erased join postroom.export_file f on f.id = erased.file_id
where f.stored_at is not null order by f.path
