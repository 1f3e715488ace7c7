-- Never mail this address again. $1 address in lower case, $2 reason. `old_reason`: the one that it had.
with old as materialized (
    select reason from postroom.suppression where address = $1
)
insert into postroom.suppression (address, reason) values ($1, $2)
on conflict (address) do update set reason = excluded.reason
returning address, reason, created_at, (select reason from old) as old_reason
