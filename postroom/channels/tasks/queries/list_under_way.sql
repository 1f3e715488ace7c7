-- What workers are at, the longest first. $1 channel, $2 states, $3 how many of each are looked at: the longest due, $4 limit
with due as materialized (
    select d.*
    from unnest($2::text[]) state (name)
    cross join lateral (
        select message_id, destination, attempts, worker, claimed_at from postroom.delivery w
        where w.channel = $1 and w.state = state.name and w.due_at <= now()
        order by w.due_at, w.seq limit $3
    ) d
)
select d.message_id, d.destination as name, d.attempts + 1 as attempt, d.claimed_at, run.progress, run.cancelled_by
from (select * from due where worker is not null order by claimed_at limit $4) d
left join lateral (
    select progress, cancelled_by from postroom.task_run r where r.message_id = d.message_id
) run on true
order by d.claimed_at
