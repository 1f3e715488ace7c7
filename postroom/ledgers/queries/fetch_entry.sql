-- What this ledger knows of a tenant, and of itself. $1 tenant
select d.name, d.epoch as newest, d.ready, t.ledger, t.epoch, t.step, t.source, t.copied_xid, t.changed_at
from postroom.ledger_directory d
left join postroom.ledger_tenant t on t.tenant = $1
