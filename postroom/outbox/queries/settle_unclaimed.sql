-- Settle deliveries of a channel that were made together with one that was claimed, and that nobody has claimed. One that
-- somebody holds, or is just claiming, is left to them; what is held back for another ledger is, too. Each is looked up
-- by its key, whatever PostgreSQL believes of the table.
-- $1 message ids, $2 channel, $3 worker, $4 detail, $5 duration in ms, $6 shard
with found as materialized (
    select h.place
    from unnest($1::uuid[]) as i(message_id)
    cross join lateral (
        select d.ctid as place from postroom.delivery d where d.message_id = i.message_id offset 0
    ) h
), free as materialized (
    select d.ctid as place from postroom.delivery d
    where d.ctid = any (array(select place from found))
        and d.channel = $2 and d.worker is null and d.state not like 'held%'
    for update skip locked
), ended as (
    delete from postroom.delivery d where d.ctid = any (array(select place from free))
    returning d.message_id, d.n, d.attempts, d.destination, d.endpoint_id, d.batch
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, detail, duration_ms, destination, endpoint_id)
    select message_id, n, $2, attempts + 1, $3, 'delivered', $4, $5,
        postroom.logged_destination($2, destination, endpoint_id), endpoint_id
    from ended
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select name, $2 || '/delivered', $6, done.value
    from (select count(*) as value from ended) done, unnest(array['ended', 'outcome']) as name
    where done.value > 0
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, count(*) as delivered, 0 as dead, 0 as cancelled
    from ended where batch is not null group by batch order by batch
)
select (select count(*) from ended)
    + (select count(*) from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)) -- none: it is called for what it does
