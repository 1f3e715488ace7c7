-- Give up the dead letters of erased messages; they count as cancelled. $1 message ids
with gone as (
    delete from postroom.dead_letter where message_id = any ($1::uuid[])
    returning message_id, n, channel, attempts
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason)
    select message_id, n, channel, attempts, 'cancelled', 'a person was erased' from gone
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', 0, count(*) from gone group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select count(*) from gone
