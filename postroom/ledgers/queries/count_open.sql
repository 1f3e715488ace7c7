-- What of a tenant has not ended, by channel; those that wait for a person apart. $1 tenant
select d.channel, count(*) as open, count(*) filter (where d.due_at = 'infinity' and d.channel <> 'task') as parked
from postroom.delivery d
where coalesce(d.tenant, (select m.tenant from postroom.message m where m.id = d.message_id)) = $1
group by d.channel
order by d.channel
