-- Give up dead letters that nobody replayed for so long; they count as cancelled. A payload stays as long as
-- another delivery of its message waits or is dead. $1 days, $2 batch
with gone as (
    delete from postroom.dead_letter l
    where (l.message_id, l.n) in (
        select message_id, n from postroom.dead_letter
        where died_at < now() - make_interval(days => $1) order by died_at limit $2)
    returning l.message_id, l.n, l.channel, l.attempts, l.destination, l.endpoint_id
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts, 'cancelled', 'dead for longer than retention keeps letters',
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from gone
), emptied as (
    update postroom.message m set payload = '{}'
    where m.id in (select message_id from gone)
        and not exists (select from postroom.delivery d where d.message_id = m.id)
        and not exists (select from postroom.dead_letter l where l.message_id = m.id
            and not exists (select from gone g where g.message_id = l.message_id and g.n = l.n))
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', 0, count(*) from gone group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select count(*) from gone
