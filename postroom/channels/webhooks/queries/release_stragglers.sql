-- $1 batch size, $2 seconds between runs: of one with a pace only so much is let go.
-- Steps from endpoint to endpoint along the index, however much waits for each.
with recursive held (endpoint_id) as (
    (
        select endpoint_id from postroom.delivery
        where due_at = 'infinity' and endpoint_id is not null
        order by endpoint_id limit 1
    )
    union all
    select (
        select d.endpoint_id from postroom.delivery d
        where d.due_at = 'infinity' and d.endpoint_id > held.endpoint_id
        order by d.endpoint_id limit 1
    )
    from held
    where held.endpoint_id is not null
), stray as (
    select d.message_id, d.n
    from held
    left join postroom.endpoint e on e.id = held.endpoint_id
    cross join lateral (
        select w.message_id, w.n from postroom.delivery w
        where w.endpoint_id = held.endpoint_id and w.due_at = 'infinity' and w.worker is null
        limit least($1::bigint, ceil(e.release_pace * $2::float8)::bigint)
        for update skip locked
    ) d
    where e.state is distinct from 'parked'
    limit $1::bigint
), released as (
    update postroom.delivery d
    set due_at = now(), since = now()
    from stray s
    where d.message_id = s.message_id and d.n = s.n
    returning d.seq
)
select count(*) from released
