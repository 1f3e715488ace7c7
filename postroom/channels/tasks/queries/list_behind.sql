-- Up to when the times of schedules are published, in seconds ago. Paused ones are left out. $1 so many by name; $2 the name that
-- stands for all others, with the greatest of theirs: it is always told.
with ranked as (
    select name, greatest(extract(epoch from now() - last_at), 0)::float8 as behind_s,
        row_number() over (order by name) as nr
    from postroom.schedule where paused_at is null
)
select name, max(behind_s) as behind_s from (
    select case when nr <= $1 then name else $2::text end as name, behind_s from ranked
    union all
    select $2, 0
) named group by name
