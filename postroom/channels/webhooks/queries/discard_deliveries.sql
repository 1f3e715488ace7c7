-- Give up what waits for an endpoint that is held back; it is counted as cancelled. $1 endpoint, $2 at most, $3 shard.
with waiting as (
    select message_id, n
    from postroom.delivery
    where endpoint_id = $1 and due_at = 'infinity' and worker is null
    limit $2::bigint
    for update skip locked
), gone as (
    delete from postroom.delivery d using waiting w
    where d.message_id = w.message_id and d.n = w.n
    returning d.message_id, d.n, d.channel, d.attempts, d.destination, d.endpoint_id, d.batch
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts, 'cancelled', 'what waited for its endpoint was discarded',
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from gone
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', $3, count(*) from gone group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, 0 as delivered, 0 as dead, count(*) as cancelled
    from gone where batch is not null group by batch order by batch
)
select (select count(*) from gone)
    + (select count(*) from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)) -- none: it is called for what it does
