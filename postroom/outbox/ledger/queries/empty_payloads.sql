-- Empty payloads of messages that ended long ago, a batch at a time in the order of their ids. Looks at the next
-- batch only, and at nothing behind the first one that is too young: it looks at the ledger's age, never at
-- its size. A message's time is the start of its transaction, so that an older one may come after a younger one.
-- $1 days, $2 batch. Returns how many messages were looked at.
with mark as (
    select emptied_upto from postroom.retention_mark for update
), next as materialized (
    select m.id, m.created_at < now() - make_interval(days => $1) as aged
    from postroom.message m
    where m.id > (select emptied_upto from mark)
    order by m.id limit $2
), old as materialized (
    select id from next
    where id < coalesce((select id from next where not aged order by id limit 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
), emptied as (
    update postroom.message m set payload = '{}' from old
    where m.id = old.id
        and not exists (select from postroom.delivery d where d.message_id = m.id)
        and not exists (select from postroom.dead_letter l where l.message_id = m.id)
        and not exists (select from postroom.effects(m.channel, m.id, m.correlation_id) as e (id)
            where exists (select from postroom.delivery d where d.message_id = e.id)
                or exists (select from postroom.dead_letter l where l.message_id = e.id))
), moved as (
    update postroom.retention_mark
    set emptied_upto = (select id from old order by id desc limit 1)
    where exists (select from old)
)
select count(*) from old
