-- Forget which files hold records of erased messages. $1 message ids. Returns the files, each once.
with gone as (
    delete from postroom.export_record where message_id = any ($1::uuid[]) returning file_id
)
select distinct f.path from gone join postroom.export_file f on f.id = gone.file_id
where f.stored_at is not null order by f.path
