-- A replay and where its letters are now. What is not counted elsewhere is done, for a recovery forgets those. $1 run
select r.id, r.actor, r.wanted::text as wanted, r.pace_per_s, r.state, r.items, r.created_at, r.changed_at,
    r.next_id is not null and r.state <> 'undone' as walking,
    count(*) filter (where i.state = 'held') as held,
    count(*) filter (where i.state = 'returned') as returned,
    count(*) filter (where i.state = 'released' and d.attempts = 0) as waiting,
    count(*) filter (where i.state = 'released' and d.attempts > 0) as retrying,
    count(*) filter (where i.state = 'released' and l.message_id is not null) as dead,
    r.items - count(i.run_id)
        + count(*) filter (where i.state = 'released' and d.message_id is null and l.message_id is null) as done,
    extract(epoch from max(d.due_at) filter (where d.attempts = 0) - now())::float8 as left_s
from postroom.replay_run r
left join postroom.replay_item i on i.run_id = r.id
left join lateral (
    select d.message_id, d.attempts, d.due_at from postroom.delivery d
    where d.message_id = i.message_id and d.n = i.n limit 1
) d on i.state = 'released'
left join lateral (
    select l.message_id from postroom.dead_letter l
    where l.message_id = i.message_id and l.n = i.n limit 1
) l on i.state = 'released'
where r.id = $1
group by r.id
