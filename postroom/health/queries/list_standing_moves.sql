-- Tenants whose move has stood at one step for longer than $1 seconds, as this ledger knows it
select t.tenant, t.source, case when t.step = 'copying' then d.name else t.ledger end as target, t.step,
    extract(epoch from now() - t.changed_at)::float8 as age_s
from postroom.ledger_tenant t
cross join postroom.ledger_directory d
where t.step is not null and t.changed_at < now() - make_interval(secs => $1)
order by t.changed_at, t.tenant
