-- $1 endpoint, $2 count waiting up to this.
select e.id, e.tenant, e.url, e.types, e.description, e.parked_reason, e.failing_since, e.disabled_at, e.release_pace,
    postroom.endpoint_state(e.state, e.disabled_at) as state,
    case when e.previous_secret_until > now() then e.previous_secret_until end as previous_secret_until,
    e.created_at, e.updated_at,
    (
        select count(*)
        from (
            select from postroom.delivery d
            where d.endpoint_id = e.id and d.due_at = 'infinity' limit $2::bigint
        ) capped
    ) as waiting
from postroom.endpoint e
where e.id = $1
