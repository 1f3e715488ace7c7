-- End what this worker holds under this very claim as cancelled, though it was tried.
-- $1 message id, $2 n, $3 worker, $4 claim number, $5 shard, $6 duration in ms, $7 reason
with gone as (
    delete from postroom.delivery where message_id = $1 and n = $2 and worker = $3 and claim_no = $4
    returning message_id, n, channel, attempts, worker, destination, endpoint_id, batch
), logged as (
    insert into postroom.attempt
        (message_id, n, channel, attempt, worker, outcome, reason, duration_ms, destination, endpoint_id)
    select message_id, n, channel, attempts + 1, worker, 'cancelled', $7, $6,
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from gone
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'ended', channel || '/cancelled', $5, 1 from gone
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), forgotten as (
    delete from postroom.task_run r using gone g where r.message_id = g.message_id
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, 0 as delivered, 0 as dead, count(*) as cancelled
    from gone where batch is not null group by batch order by batch
)
select (select count(*) from gone)
    + (select count(*) from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)) -- none: it is called for what it does
