-- Empty payloads of messages that ended long ago, a batch at a time in the order of their ids.
-- $1 days, $2 batch. Returns how many messages were looked at.
with mark as (
    select emptied_upto from postroom.retention_mark for update
), old as materialized (
    select m.id from postroom.message m, mark
    where m.id > mark.emptied_upto and m.created_at < now() - make_interval(days => $1)
    order by m.id limit $2
), emptied as (
    update postroom.message m set payload = '{}' from old
    where m.id = old.id
        and not exists (select from postroom.delivery d where d.message_id = m.id)
        and not exists (select from postroom.dead_letter l where l.message_id = m.id)
), moved as (
    update postroom.retention_mark
    set emptied_upto = (select id from old order by id desc limit 1)
    where exists (select from old)
)
select count(*) from old
