-- Forget which records old files hold, unless one of them may still be delivered or replayed. A file that never closed
-- goes altogether: nobody wrote it. One that closed and was never said to be stored goes once its object is deleted. A
-- stored one stays known for as long as a manifest lists it.
-- $1 age in days, $2 most files
with old as materialized (
    select f.id, f.stored_at is null and (f.closes_at is not null or f.path is null) as unwritten
    from postroom.export_file f
    where f.opened_at < now() - make_interval(days => $1)
        and not f.forgotten
        and not exists (select from postroom.export_file s where s.replaced_by = f.id)
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
), emptied as (
    delete from postroom.export_record r using old where r.file_id = old.id
), gone as (
    delete from postroom.export_file f using old where f.id = old.id and old.unwritten
), kept as (
    update postroom.export_file f
    set forgotten = true, delete_at = case when f.stored_at is null then coalesce(f.delete_at, greatest(now(), f.taken_until)) else f.delete_at end
    from old where f.id = old.id and not old.unwritten
)
select id from old
