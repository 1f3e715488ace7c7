-- This ledger's copy of the directory, in one look
select d.name, d.epoch, coalesce(d.slots, '{}') as slots, coalesce(t.tenants, '{}') as tenants,
    coalesce(t.ledgers, '{}') as ledgers, coalesce(t.epochs, '{}') as epochs
from postroom.ledger_directory d
cross join (
    select array_agg(tenant) as tenants, array_agg(ledger) as ledgers, array_agg(epoch) as epochs
    from postroom.ledger_tenant
) t
