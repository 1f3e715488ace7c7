-- Settle what was delivered: the busy path of `settle`, for a batch in which nothing else happened.
-- Only what this worker still holds under this very claim is touched; the rows that come back were lost.
-- Each is looked up by its key, whatever PostgreSQL believes of a queue that was just empty; a row that has
-- changed since then is no longer held.
-- $1 message ids, $2 n, $3 worker, $4 claim numbers, $5 codes, $6 details (null: none has one),
-- $7 durations in ms, $8 channel, $9 shard, $10 what each was made from (null: none has it)
with held as materialized (
    select h.place, i.claim_no, i.code, i.detail, i.duration_ms, i.content_hash
    from unnest($1::uuid[], $2::smallint[], $4::integer[], $5::text[], $6::text[], $7::integer[], $10::bytea[])
        as i(message_id, n, claim_no, code, detail, duration_ms, content_hash)
    cross join lateral (
        select d.ctid as place from postroom.delivery d where d.message_id = i.message_id and d.n = i.n offset 0
    ) h
), ended as (
    delete from postroom.delivery d
    using held h
    where d.ctid = h.place and d.worker = $3 and d.claim_no = h.claim_no
    returning d.message_id, d.n, d.attempts, d.worker, h.code, h.detail, h.duration_ms, d.destination, d.endpoint_id,
        h.content_hash, d.batch
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, code, detail, duration_ms,
        destination, endpoint_id, content_hash)
    select message_id, n, $8, attempts + 1, worker, 'delivered', code, detail, duration_ms,
        postroom.logged_destination($8, destination, endpoint_id), endpoint_id, content_hash
    from ended
), done as materialized (
    select count(*) as value, count(batch) as in_batches from ended
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select count.name, count.label, $9, done.value
    from done,
        (values ('email_outcome', 'sent'), ('ended', $8 || '/delivered'), ('outcome', $8 || '/delivered'))
            as count(name, label)
    where done.value > 0 and (count.name <> 'email_outcome' or $8 = 'email')
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, count(*) as delivered, 0 as dead, 0 as cancelled
    from ended where batch is not null and (select in_batches from done) > 0 group by batch order by batch
)
select i.message_id, i.n
from unnest($1::uuid[], $2::smallint[]) as i(message_id, n)
where (select value from done) < cardinality($1::uuid[])
    and not exists (select from ended e where e.message_id = i.message_id and e.n = i.n)
union all
select null, null -- no row: it is called for what it does
from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)
