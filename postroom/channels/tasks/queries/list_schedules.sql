-- $1 names. Where a runner has never looked at one, only its name is told.
select wanted.name, now() as now, s.published_at, s.paused_at, s.paused_by, s.reason
from unnest($1::text[]) as wanted (name)
left join postroom.schedule s on s.name = wanted.name
