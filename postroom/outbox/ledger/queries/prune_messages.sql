-- Remove messages that ended and were added up long ago, a batch at a time in the order of their ids. Ids begin with their
-- time: what is too young to go is not even looked at. $1 days, $2 batch, $3 after this id.
-- Returns how many were looked at, how many of them are gone, and the last id, null where there was none.
with next as materialized (
    select m.id, m.channel, m.correlation_id,
        m.created_at < now() - make_interval(days => $1) and m.xid < (select xid from postroom.ledger_fold) as aged
    from postroom.message m
    where m.id > $3
        and m.id < (lpad(to_hex((extract(epoch from now() - make_interval(days => $1)) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
    order by m.id limit $2
), busy as materialized (
    select d.message_id from postroom.delivery d where d.message_id = any (array(select id from next))
    union all
    select l.message_id from postroom.dead_letter l where l.message_id = any (array(select id from next))
), old as materialized (
    select id from next
    where aged and id not in (select message_id from busy)
        and not (channel = 'stripe' and postroom.payload_needed(channel, id, correlation_id))
), gone as (
    delete from postroom.message m using old where m.id = old.id returning m.id
), forgotten as (
    delete from postroom.expiring e using old where e.message_id = old.id
), batches as (
    delete from postroom.batch b using old where b.message_id = old.id
)
select (select count(*) from next) as looked, (select count(*) from gone) as gone,
    (select id from next order by id desc limit 1) as last
