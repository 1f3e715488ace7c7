-- Recoveries that have something to do now, oldest first: their endpoint takes deliveries, and not so many of theirs wait
-- already. Those of a deleted endpoint are over. $1 most that may wait
with over as (
    update postroom.replay_run r set next_id = null
    where r.next_id is not null and not exists (select from postroom.endpoint e where e.id = r.endpoint_id)
)
select r.id
from postroom.replay_run r
join postroom.endpoint e on e.id = r.endpoint_id
where r.next_id is not null and r.state = 'running' and e.state = 'enabled'
    and $1 > (
        select count(*)
        from (
            select from postroom.replay_item i
            join postroom.delivery d on d.message_id = i.message_id and d.n = i.n
            where i.run_id = r.id and i.state = 'released' limit $1
        ) waiting)
order by r.id
