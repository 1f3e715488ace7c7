-- Remove messages that ended and were added up long ago. Ids begin with their time: what is too young to go is
-- not even looked at. $1 days, $2 batch
with old as (
    select m.id from postroom.message m
    where m.id < (lpad(to_hex((extract(epoch from now() - make_interval(days => $1)) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
        and m.created_at < now() - make_interval(days => $1) and m.xid < (select xid from postroom.ledger_fold)
        and not postroom.payload_needed(m.channel, m.id, m.correlation_id)
    order by m.id limit $2
), gone as (
    delete from postroom.message m using old where m.id = old.id returning m.id
), forgotten as (
    delete from postroom.expiring e using old where e.message_id = old.id
)
select count(*) from gone
