-- A recovery that has something to do, and its endpoint: two at once follow each other. $1 run
select r.id, r.actor, r.wanted::text as wanted, r.pace_per_s, r.next_id, r.until_id
from postroom.replay_run r
join postroom.endpoint e on e.id = r.endpoint_id
where r.id = $1 and r.next_id is not null and r.state = 'running' and e.state = 'enabled'
for no key update of e, r
