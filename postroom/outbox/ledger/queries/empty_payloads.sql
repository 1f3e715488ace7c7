-- Empty payloads of messages that ended long ago, a batch at a time in the order of their ids. Looks at the next
-- batch only, and at nothing behind the first one that is too young: it looks at the ledger's age, never at
-- its size. A message's time is the start of its transaction, so that an older one may come after a younger one.
-- An event is asked for one by one whether an effect of it needs it. What is needed is noted, and emptied by
-- `empty_kept_payloads`. An empty payload has at most 8 bytes.
-- $1 days, $2 batch. Returns how many messages were looked at, and which were emptied.
with mark as (
    select swept_upto from postroom.retention_mark for update
), next as materialized (
    select m.id, m.channel, m.correlation_id, pg_column_size(m.payload) > 8 as is_full,
        m.created_at < now() - make_interval(days => $1) as aged
    from postroom.message m
    where m.id > (select swept_upto from mark)
    order by m.id limit $2
), busy as materialized (
    select d.message_id from postroom.delivery d where d.message_id = any (array(select id from next))
    union all
    select l.message_id from postroom.dead_letter l where l.message_id = any (array(select id from next))
), old as materialized (
    select id, is_full, is_full and (id in (select message_id from busy)
        or channel = 'stripe' and postroom.payload_needed(channel, id, correlation_id)) as needed
    from next
    where id < coalesce((select id from next where not aged order by id limit 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
), emptied as (
    update postroom.message m set payload = '{}' from old
    where m.id = old.id and old.is_full and not old.needed
    returning m.id
), kept as (
    insert into postroom.payload_kept (message_id) select id from old where needed on conflict do nothing
), moved as (
    update postroom.retention_mark
    set swept_upto = (select id from old order by id desc limit 1)
    where exists (select from old)
)
select count(*) as looked, (select array_agg(id) from emptied) as emptied from old
