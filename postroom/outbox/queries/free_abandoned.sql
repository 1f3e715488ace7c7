-- Free what dead workers still hold, where it may only have waited in their memory: it stays due, with no attempt spent,
-- and from now on its starts are written down. Those that were not written down yet may have been sent, and
-- the log says so. $1 dead workers, $2 at most, $3 shard, $4 reason
, held as materialized (
    select d.ctid as place, d.worker, d.started_no from postroom.delivery d
    where d.ctid = any (array(select place from places))
        and d.worker = any ($1::bigint[]) and d.started_no is distinct from d.claim_no
    limit $2
    for update skip locked
), freed as (
    update postroom.delivery d
    set worker = null, claimed_at = null, started_no = coalesce(d.started_no, 0),
        last_reason = case when held.started_no is null then $4 else d.last_reason end
    from held
    where d.ctid = held.place
    returning d.message_id, d.n, d.channel, d.attempts, d.destination, d.endpoint_id, held.worker,
        held.started_no is null as may_be_sent
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts + 1, worker, 'abandoned', $4,
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from freed where may_be_sent
), counts as (
    select 'outcome' as name, channel || '/abandoned' as label, count(*) as value
    from freed where may_be_sent group by 2
    union all
    select 'email_outcome', 'retry', count(*) from freed where may_be_sent and channel = 'email'
    union all
    select 'stripe_outcome', 'error', count(*) from freed where may_be_sent and channel = 'stripe'
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select name, label, $3, value from counts where value > 0 order by name, label
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select count(*) from freed
