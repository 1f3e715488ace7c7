-- $1 batch size. Steps from endpoint to endpoint along the index, however much waits for each.
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
    join postroom.delivery d on d.endpoint_id = held.endpoint_id
    where d.due_at = 'infinity' and d.worker is null
        and not exists (select from postroom.endpoint e where e.id = held.endpoint_id and e.state = 'parked')
    limit $1::bigint
    for update of d skip locked
), released as (
    update postroom.delivery d
    set due_at = now(), since = now()
    from stray s
    where d.message_id = s.message_id and d.n = s.n
    returning d.seq
)
select count(*) from released
