-- $1 tenant or null for all, $2 the id to start behind or null, $3 page size, $4 count waiting up to this,
-- $5 tenants or null for all.
select e.id, e.tenant, e.url, e.types, e.description, e.parked_reason, e.failing_since, e.disabled_at, e.release_pace,
    postroom.endpoint_state(e.state, e.disabled_at) as state,
    case when e.previous_secret_until > now() then e.previous_secret_until end as previous_secret_until,
    e.created_at, e.updated_at, held.waiting
from postroom.endpoint e
cross join lateral (
    select count(*) as waiting
    from (
        select from postroom.delivery d where d.endpoint_id = e.id and d.due_at = 'infinity' limit $4::bigint
    ) capped
) held
where ($1::text is null or e.tenant = $1) and ($5::text[] is null or e.tenant = any ($5))
    and ($2::uuid is null or e.id > $2)
order by e.id
limit $3::bigint
