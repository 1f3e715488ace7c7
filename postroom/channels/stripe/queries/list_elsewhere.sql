-- Which of these are in another ledger, as this one's copy of the directory has it. $1 owners, $2 their slots
select named.owner
from postroom.ledger_directory d
cross join unnest($1::text[], $2::integer[]) named (owner, slot)
left join lateral (
    select ledger from postroom.ledger_tenant t where t.tenant = named.owner offset 0
) there on true
where coalesce(there.ledger, d.slots[named.slot + 1]) is distinct from d.name or d.name is null
