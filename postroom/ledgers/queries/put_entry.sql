-- What this ledger knows of a tenant from now on, if it is still what was seen, for its epoch only
-- grows. Returns a row where it was.
-- $1 tenant, $2 the epoch that was seen (null: no row), $3 ledger, $4 epoch, $5 step, $6 source
with put as (
    insert into postroom.ledger_tenant as t (tenant, ledger, epoch, step, source)
    select $1, $3, $4, $5, $6
    where $2::bigint is null or exists (select from postroom.ledger_tenant where tenant = $1)
    on conflict (tenant) do update
    set ledger = excluded.ledger, epoch = excluded.epoch, step = excluded.step, source = excluded.source,
        copied_xid = case when excluded.step = 'copying' then null else t.copied_xid end, changed_at = now()
    where t.epoch = $2 and t.epoch < excluded.epoch
    returning t.tenant
), dated as (
    update postroom.ledger_directory set epoch = greatest(epoch, $4) where exists (select from put)
)
select tenant from put
