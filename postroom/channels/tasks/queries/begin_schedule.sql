-- $1 a schedule. It is held until the transaction ends. No row: it is paused, or new; then it begins now.
with made as (
    insert into postroom.schedule (name, last_at) values ($1, now()) on conflict do nothing
)
select last_at, now() as now from postroom.schedule where name = $1 and paused_at is null for update
