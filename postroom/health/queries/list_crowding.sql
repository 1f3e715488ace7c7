-- Of whom the oldest late deliveries of each channel are, where one tenant has more than a part of them; the largest first.
-- $1 channels, $2 the states of a delivery, $3 seconds after which one is late, $4 how many of each state to look at,
-- $5 that part, $6 the fewest that say anything
with late as materialized (
    select c.name as channel, d.tenant
    from unnest($1::text[]) c (name) cross join unnest($2::text[]) s (name)
    cross join lateral (
        select each.tenant from postroom.delivery each
        where each.channel = c.name and each.state = s.name and each.worker is null
            and each.due_at < now() - make_interval(secs => $3)
        order by each.due_at, each.seq limit $4
    ) d
    where not exists (select from postroom.channel_pause p where p.channel = c.name)
), of_all as (
    select channel, count(*) as count from late group by channel
)
select l.channel, l.tenant, count(*) as count, a.count as of_all
from late l join of_all a using (channel)
where l.tenant is not null
group by l.channel, l.tenant, a.count
having count(*) > $5::float8 * a.count and a.count >= $6
    and (l.tenant <> '' or count(*) < a.count) -- where nobody names tenants, nobody waits for one
order by l.channel, count(*) desc
