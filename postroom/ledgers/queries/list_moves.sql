-- Tenants that are on their way, the one that stands still for longest first
select tenant, source, ledger, step, epoch, changed_at, extract(epoch from now() - changed_at)::float8 as age_s
from postroom.ledger_tenant where step is not null order by changed_at, tenant
