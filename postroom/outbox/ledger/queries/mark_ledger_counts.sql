-- Keep how many deliveries wait and how many letters are dead, by channel; forget what has come to nothing.
with counted as (
    select case when due_at < 'infinity' then 'waiting' else 'parked' end as kind, channel, state as label, count(*)
    from postroom.delivery group by 1, 2, 3
    union all
    select 'dead', channel, cause, count(*) from postroom.dead_letter group by channel, cause
), gone as (
    delete from postroom.ledger_count c
    where not exists (select from counted n
        where n.kind = c.kind and n.channel = c.channel and n.label = c.label)
)
insert into postroom.ledger_count as c (kind, channel, label, count)
select kind, channel, label, count from counted
on conflict (kind, channel, label) do update set count = excluded.count where c.count <> excluded.count
