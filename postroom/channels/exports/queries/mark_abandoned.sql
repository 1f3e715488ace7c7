-- Files that closed, were never said to be stored, and that nobody will write: what a killed attempt put there, which no manifest
-- lists, is to be deleted once that attempt is over. A replay of their records gives these other files.
-- Meant are files with a record that is to be in no file any more, and, while somebody is looked for, all.
with candidate as (
    select file_id as id from postroom.export_record where erased
    union
    select id from postroom.export_file where stored_at is null and exists (select from postroom.export_search)
), abandoned as (
    update postroom.export_file f
    set delete_at = greatest(now(), f.taken_until)
    from candidate
    where f.id = candidate.id and f.stored_at is null and f.closes_at is null and f.delete_at is null and f.path is not null
        and not exists (select from postroom.export_file s where s.replaced_by = f.id)
        and not exists (
            select from postroom.export_record r join postroom.delivery d on d.message_id = r.message_id
            where r.file_id = f.id)
        and (exists (select from postroom.export_record r where r.file_id = f.id and r.erased)
            or not exists (
                select from postroom.export_record r join postroom.dead_letter d on d.message_id = r.message_id
                where r.file_id = f.id))
    returning f.id
)
delete from postroom.export_record where file_id in (select id from abandoned)
