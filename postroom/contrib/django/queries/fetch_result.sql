-- How a task stands: nothing where there is no such message, or where it has ended so long ago that its attempts are forgotten.
select m.payload::text, m.created_at, d.worker is not null, d.message_id is not null, l.message_id is not null, a.outcomes, a.codes,
    a.details, a.workers, a.first_at, a.last_at, a.ended_at
from postroom.message m
left join postroom.delivery d on d.message_id = m.id
left join postroom.dead_letter l on l.message_id = m.id
cross join lateral (
    select array_agg(t.outcome order by t.ended_at) as outcomes, array_agg(coalesce(t.code, '') order by t.ended_at) as codes,
        array_agg(coalesce(t.detail, t.reason, '') order by t.ended_at) as details,
        array_agg(coalesce(t.worker::text, '') order by t.ended_at) as workers,
        min(t.ended_at - make_interval(secs => coalesce(t.duration_ms, 0) / 1000.0)) as first_at,
        max(t.ended_at - make_interval(secs => coalesce(t.duration_ms, 0) / 1000.0)) as last_at, max(t.ended_at) as ended_at
    from postroom.attempt t
    where t.message_id = m.id and t.ended_at >= m.created_at and t.outcome <> 'replayed'
) a
where m.id = %s and m.channel = 'task' and (d.message_id is not null or a.outcomes is not null)
