-- Take over what other ledgers know and this one does not yet, but for tenants that are on their way.
-- $1 tenants, $2 ledgers, $3 epochs
with put as (
    insert into postroom.ledger_tenant as t (tenant, ledger, epoch)
    select * from unnest($1::text[], $2::text[], $3::bigint[])
    on conflict (tenant) do update set ledger = excluded.ledger, epoch = excluded.epoch, changed_at = now()
    where t.epoch < excluded.epoch and t.step is null
)
update postroom.ledger_directory
set epoch = greatest(epoch, (select max(each) from unnest($3::bigint[]) each))
