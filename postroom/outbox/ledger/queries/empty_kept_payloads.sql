-- Empty payloads that were needed beyond their time and are no more. Each is looked at once in so many days, whatever
-- makes its message end. $1 days, $2 batch. Returns how many were looked at, and which were emptied.
with looked as materialized (
    select k.message_id, m.id is not null and postroom.payload_needed(m.channel, m.id, m.correlation_id) as needed
    from postroom.payload_kept k
    left join postroom.message m on m.id = k.message_id
    where k.looked_at < now() - make_interval(days => $1)
    order by k.looked_at limit $2
    for update of k
), emptied as (
    update postroom.message m set payload = '{}' from looked l
    where m.id = l.message_id and not l.needed
    returning m.id
), gone as (
    delete from postroom.payload_kept k using looked l where k.message_id = l.message_id and not l.needed
), again as (
    update postroom.payload_kept k set looked_at = now() from looked l where k.message_id = l.message_id and l.needed
)
select count(*) as looked, (select array_agg(id) from emptied) as emptied from looked
