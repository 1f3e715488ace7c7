-- Settle what ended: one statement for a batch. Only what this worker still holds under this very
-- claim is touched; the rows that come back were lost to another one.
-- $1 message ids, $2 n, $3 workers, $4 claim numbers, $5 verdicts, $6 outcomes, $7 delays in seconds,
-- $8 codes, $9 reasons, $10 details, $11 causes, $12 fingerprints, $13 durations in ms, $14 shard,
-- $15 what the attempt was made from (null: none has it); where it is not said, what an earlier one told stays
-- Whose attempt has ended with its worker alive is watched no longer.
-- What expired without a try (outcome 'expired') spends no attempt, and the log has none of it.
-- Each is looked up by its key, whatever PostgreSQL believes of a queue that was just empty; a row that has
-- changed since then is no longer held.
with input as materialized (
    select i.*, h.place
    from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::float8[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::integer[], $15::bytea[])
        as i(message_id, n, worker, claim_no, verdict, outcome, delay_s,
            code, reason, detail, cause, fingerprint, duration_ms, content_hash)
    left join lateral (
        select d.ctid as place from postroom.delivery d where d.message_id = i.message_id and d.n = i.n offset 0
    ) h on true
), ended as (
    delete from postroom.delivery d using input i
    where d.ctid = i.place and d.worker = i.worker and d.claim_no = i.claim_no
        and i.verdict in ('delivered', 'dead')
    returning d.message_id, d.n, d.seq, d.channel, d.destination, d.endpoint_id, d.ordering_key, d.state, d.attempts,
        d.worker, i.verdict, i.outcome, i.code,
        case i.outcome when 'expired' then concat_ws(': ', i.reason, d.last_reason) else i.reason end as reason,
        i.detail, i.cause, i.fingerprint, i.duration_ms, d.expires_at, d.since, i.content_hash,
        coalesce(i.content_hash, d.content_hash) as kept_hash, d.batch
), kept as (
    update postroom.delivery d
    set state = case i.verdict when 'retry' then replace(d.state, 'pending', 'retry') else d.state end,
        attempts = d.attempts + (i.verdict = 'retry')::int,
        due_at = case when i.delay_s = 'infinity' then 'infinity' else now() + make_interval(secs => i.delay_s) end,
        last_reason = i.reason, worker = null, claimed_at = null,
        content_hash = coalesce(i.content_hash, d.content_hash),
        started_no = case when i.verdict = 'deferred' or i.outcome = 'abandoned' then d.started_no end
    from input i
    where d.ctid = i.place and d.worker = i.worker and d.claim_no = i.claim_no
        and i.verdict in ('retry', 'deferred')
    returning d.message_id, d.n, d.channel, d.attempts, i.worker, i.verdict, i.outcome, i.code, i.reason,
        i.detail, i.duration_ms, d.destination, d.endpoint_id, i.content_hash
), settled as (
    select message_id, n, channel, (attempts + 1)::smallint as attempt, worker, verdict, outcome,
        code, reason, detail, duration_ms, destination, endpoint_id, content_hash
    from ended
    union all
    select message_id, n, channel, attempts, worker, verdict, outcome, code, reason, detail, duration_ms,
        destination, endpoint_id, content_hash
    from kept
), buried as (
    insert into postroom.dead_letter (message_id, n, seq, channel, destination, endpoint_id, ordering_key,
        attempts, cause, fingerprint, reason, code, expires_at, since, urgency, content_hash)
    select message_id, n, seq, channel, destination, endpoint_id, ordering_key,
        attempts + (outcome <> 'expired')::int, cause, fingerprint, reason, code, expires_at, since,
        nullif(split_part(state, '_', 2), ''), kept_hash
    from ended where verdict = 'dead'
), logged as (
    insert into postroom.attempt
        (message_id, n, channel, attempt, worker, outcome, code, reason, detail, duration_ms,
        destination, endpoint_id, content_hash)
    select message_id, n, channel, attempt, worker, outcome, code, reason, detail, duration_ms,
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id, content_hash
    from settled where verdict <> 'deferred' and outcome <> 'expired'
), counts as (
    select 'outcome' as name, channel || '/' || outcome as label, count(*) as value
    from settled where outcome <> 'expired' group by 2
    union all
    select 'expired', channel, count(*) from ended where cause = 'expired' group by 2
    union all
    select 'ended', channel || '/' || verdict, count(*) from settled where verdict = 'delivered' group by 2
    union all
    select 'email_outcome', case when verdict = 'delivered' then 'sent'
            when outcome in ('suppressed', 'unknown', 'circuit_open') then outcome
            when verdict = 'dead' then 'failed' else 'retry' end,
        count(*)
    from settled
    where channel = 'email' and (verdict <> 'deferred' or outcome = 'circuit_open') and outcome <> 'expired' group by 2
    union all
    select 'stripe_outcome', case verdict when 'deferred' then 'deferred' else 'error' end, count(*)
    from settled where channel = 'stripe' and verdict <> 'delivered' group by 2
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select name, label, $14, value from counts order by name, label
    on conflict (name, label, shard) do update set value = t.value + excluded.value
), ends as materialized (
    -- In the order of their ids; see `end_in_batch`.
    select batch, count(*) filter (where verdict = 'delivered') as delivered, count(*) filter (where verdict = 'dead') as dead, 0 as cancelled
    from ended where batch is not null group by batch order by batch
)
select i.message_id, i.n
from input i
where (select count(*) from settled) < cardinality($1::uuid[])
    and not exists (select from settled s where s.message_id = i.message_id and s.n = i.n)
union all
select null, null -- no row: it is called for what it does
from ends e where not postroom.end_in_batch(e.batch, e.delivered, e.dead, e.cancelled)
