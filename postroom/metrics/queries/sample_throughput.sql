-- Add to this minute what the counters have grown by since they were last looked at; of attempts at tasks, those of each that is
-- counted by name.
with total as (
    select label, sum(value)::bigint as value from postroom.tally where name = 'outcome' group by label
    union all
    select 'published', published from postroom.ledger_check
    union all
    select 'task_attempts/' || ran.task, sum(t.value)::bigint
    from postroom.tally t
    cross join lateral substr(t.label, strpos(t.label, ' ') + 1) as ran (task)
    where t.name = 'task_attempts' and ran.task <> 'other'
    group by ran.task
), grown as (
    select t.label, t.value, t.value - coalesce(b.value, 0) as growth
    from total t left join postroom.flow_total b on b.label = t.label
    where t.value is distinct from b.value
), kept as (
    insert into postroom.flow_total (label, value) select label, value from grown
    on conflict (label) do update set value = excluded.value
)
insert into postroom.flow as f (minute, label, value)
select date_trunc('minute', now()), label, growth from grown where growth > 0
on conflict (minute, label) do update set value = f.value + excluded.value
