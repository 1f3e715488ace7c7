-- Take over which tenants are at others, as far as that is news here. That one is here, only its move says.
-- $1 tenants, $2 ledgers, $3 epochs
with put as (
    insert into postroom.ledger_tenant as t (tenant, ledger, epoch)
    select n.tenant, n.ledger, n.epoch
    from unnest($1::text[], $2::text[], $3::bigint[]) n (tenant, ledger, epoch)
    where n.ledger <> (select d.name from postroom.ledger_directory d)
    on conflict (tenant) do update
    set ledger = excluded.ledger, epoch = excluded.epoch, step = null, source = null, changed_at = now()
    where t.epoch < excluded.epoch and (t.step is null or t.step = 'copying')
)
update postroom.ledger_directory
set epoch = greatest(epoch, (select max(each) from unnest($3::bigint[]) each))
