-- Cancel what has not been sent of one message; what is under way right now is left alone.
-- $1 message id, $2 shard
with gone as (
    delete from postroom.delivery where message_id = $1 and worker is null
    returning message_id, n, channel, attempts, destination, endpoint_id, batch
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, destination, endpoint_id)
    select message_id, n, channel, attempts, 'cancelled', postroom.logged_destination(channel, destination, endpoint_id), endpoint_id from gone
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', $2, count(*) from gone group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, 0 as delivered, 0 as dead, count(*) as cancelled
    from gone where batch is not null group by batch order by batch
)
select (select count(*) from gone)
    + (select count(*) from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)) -- none: it is called for what it does
