-- Every limit, who set it and why, how much is in flight under it (its runners' places), and when it last held something up.
select l.channel, l.tenant, l.destination, l.per_second, l.in_flight, l.reason, l.set_by, l.set_at, l.declared,
    l.reached_at, coalesce(l.reached_at > now() - interval '1 minute', false) as reached,
    case when l.in_flight is not null then
        (select coalesce(sum(p.held), 0)::integer from postroom.limit_place p where p.limit_id = l.id)
    end as in_flight_now
from postroom.delivery_limit l
order by l.channel, l.tenant nulls first, l.destination nulls first
