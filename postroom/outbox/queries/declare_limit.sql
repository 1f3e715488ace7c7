-- A limit as code declares it. Where a person has set one for the same, that holds, and this is kept beside it; what was
-- handed out stays so. A new one has one start. $1 channel, $2 destination, $3 a second, $4 why, $5 the name for code.
insert into postroom.delivery_limit as l (channel, destination, per_second, reason, set_by, declared, spent_to)
values ($1, $2, $3::float8, $4, $5, $3::float8, now() - make_interval(secs => 1 / $3::float8))
on conflict (channel, coalesce(tenant, ''), coalesce(destination, '')) do update
set declared = excluded.declared,
    per_second = case when l.set_by = $5 then excluded.per_second else l.per_second end,
    set_at = case when l.set_by = $5 then now() else l.set_at end
