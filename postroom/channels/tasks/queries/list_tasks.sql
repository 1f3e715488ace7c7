-- How tasks went lately, by name: of the newest messages since then, of what died since then, and of what the counters grew by.
-- $1 channel, $2 since when, $3 the first message id of then, $4 how many messages, and how many dead letters, are looked at: the
-- newest, $5 limit, $6 seconds of the rate: the last full minutes of them. Every row says whether there are more messages (cut);
-- the only one that there is of none has no name.
with scanned as materialized (
    select id, channel from postroom.message where id >= $3 order by id desc limit $4
), tried as materialized (
    -- One message after another: of a join PostgreSQL might make a hash of all attempts.
    select coalesce(a.destination, '') as name, a.outcome, a.duration_ms
    from scanned s
    cross join lateral (
        select destination, outcome, duration_ms from postroom.attempt
        where message_id = s.id and ended_at >= $2 limit 100
    ) a
    where s.channel = $1
), ran as (
    select name, count(*) filter (where outcome = 'delivered') as delivered,
        count(*) filter (where outcome in ('retry', 'rejected', 'unknown', 'abandoned')) as failed,
        percentile_disc(array[0.5, 0.95]) within group (order by duration_ms) as durations_ms
    from tried group by name
), died as (
    select destination as name, count(*) as dead
    from (
        select destination from postroom.dead_letter where channel = $1 and died_at >= $2 order by died_at desc limit $4
    ) letter
    group by destination
), counted as (
    -- Sampled by the minute, whenever it was published. What ran within the hour and not lately has a rate of 0.
    select substr(label, length('task_attempts/') + 1) as name,
        coalesce(sum(value) filter (where minute >= date_trunc('minute', now()) - make_interval(secs => $6::float8)), 0) / $6 as per_s
    from postroom.flow
    where minute >= date_trunc('minute', $2::timestamptz) and minute < date_trunc('minute', now())
        and label like 'task\_attempts/%'
    group by label
)
select looked.cut, task.*
from (select count(*) >= $4 as cut from scanned) looked
left join (
    select name, coalesce(delivered, 0) as delivered, coalesce(failed, 0) as failed, coalesce(dead, 0) as dead,
        durations_ms[1] as median_ms, durations_ms[2] as p95_ms, per_s::float8 as per_s
    from ran full join died using (name) full join counted using (name)
    order by coalesce(delivered, 0) + coalesce(failed, 0) desc, per_s desc nulls last, name limit $5
) task on true
order by task.delivered + task.failed desc, task.per_s desc nulls last, task.name
