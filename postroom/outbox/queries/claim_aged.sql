-- Take over what is older than its channel allows and not under way. What waits for a person has a limit of its own.
-- Walks along the ids, which grow with time, and reads only what is old enough to ask about.
-- $1 the worker that takes over, $2 channels, $3 the greatest age of each in seconds, $4 that of what waits for a
-- person, $5 behind this id, $6 up to this one.
with old as materialized (
    select d.ctid as place
    from postroom.delivery d
    join unnest($2::text[], $3::float8[]) as limits (channel, age_s) using (channel)
    cross join lateral (
        select now() - make_interval(secs => case when d.due_at = 'infinity' then $4 else limits.age_s end) as moment
    ) before
    where d.message_id > $5 and d.message_id <= $6 and d.worker is null
        and d.message_id < postroom.first_id_at(before.moment) and coalesce(d.since < before.moment, true)
), locked as materialized (
    select d.ctid as place from postroom.delivery d
    where d.ctid = any (array(select place from old)) and d.worker is null
    for update skip locked
)
