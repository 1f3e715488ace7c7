-- $1 names that the code declares, $2 limit. With those that the code of some runner declares or once did; where no runner has
-- ever looked at one, only its name is told.
select coalesce(wanted.name, s.name) as name, now() as now, s.published_at, s.paused_at, s.paused_by, s.reason,
    case when s.paused_at is null then greatest(extract(epoch from now() - s.last_at), 0)::float8 end as behind_s
from unnest($1::text[]) as wanted (name)
full join postroom.schedule s on s.name = wanted.name
order by 1 limit $2
