-- Forget old files and which records they hold, unless a record may still be delivered or replayed.
-- $1 age in days, $2 most files to forget
delete from postroom.export_file
where id in (
    select f.id
    from postroom.export_file f
    where f.opened_at < now() - make_interval(days => $1)
        and not exists (
            select from postroom.export_record r
            join postroom.delivery d on d.message_id = r.message_id
            where r.file_id = f.id)
        and not exists (
            select from postroom.export_record r
            join postroom.dead_letter d on d.message_id = r.message_id
            where r.file_id = f.id)
    order by f.opened_at
    limit $2
    for update skip locked
)
returning id
