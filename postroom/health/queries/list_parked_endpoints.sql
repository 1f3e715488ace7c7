-- Endpoints that wait for a person, and how much waits for each.
select e.id, e.tenant, e.parked_reason as reason, e.disabled_at is not null as disabled,
    (select count(*) from postroom.delivery d where d.endpoint_id = e.id and d.due_at = 'infinity') as waiting
from postroom.endpoint e
where e.state = 'parked'
order by waiting desc, e.id
limit 5
