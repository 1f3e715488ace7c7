-- Give up the dead letters of erased messages; they count as cancelled. $1 message ids
with gone as (
    delete from postroom.dead_letter where message_id = any ($1::uuid[])
    returning message_id, n, channel, attempts, destination, endpoint_id
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts, 'cancelled', 'a person was erased',
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from gone
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', 0, count(*) from gone group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select count(*) from gone
