-- Hand out what limits leave to a worker. They are locked, and this is a statement of its own: it sees what those
-- before it were given. What `per_second` grants piles up for $6 seconds, but for two starts at least, so that
-- nothing is lost to somebody who asks a little late. Of the places each worker has its part, and what others do not want.
-- $1 worker, $2 limits, and for each: $3 starts wanted, $4 places wanted, $5 places in use
with asked as (
    select a.*, l.per_second, since.at as spent_to,
        floor(extract(epoch from statement_timestamp() - since.at)::float8 * l.per_second)::integer as starts_left,
        least(l.in_flight - others.held,
            greatest(ceil(l.in_flight / (others.count + 1.0)), l.in_flight - others.wanted))::integer as places_left
    from unnest($2::bigint[], $3::integer[], $4::integer[], $5::integer[]) as a(id, starts, places, used)
    join postroom.delivery_limit l on l.id = a.id
    cross join lateral (
        select greatest(least(l.spent_to, statement_timestamp()),
            statement_timestamp() - make_interval(secs => greatest($6::float8, 2 / l.per_second))) as at
    ) since
    cross join lateral (
        select count(*), coalesce(sum(p.held), 0) as held, coalesce(sum(p.wanted), 0) as wanted
        from postroom.limit_place p where p.limit_id = l.id and p.worker <> $1
    ) others
), granted as (
    select id, per_second, spent_to, used, places as places_wanted,
        case when starts_left is not null then least(starts, starts_left) end as starts,
        case when places_left is not null then least(places, places_left) end as places,
        coalesce(starts > starts_left, false) or coalesce(places > places_left, false) as reached
    from asked
), spent as (
    update postroom.delivery_limit l
    set spent_to = case when g.starts > 0
            then g.spent_to + make_interval(secs => ceil(g.starts / g.per_second * 1e6) / 1e6) else l.spent_to end,
        reached_at = case when g.reached then now() else l.reached_at end
    from granted g
    where l.id = g.id
        and (g.starts > 0 or g.reached and coalesce(l.reached_at < now() - interval '5 seconds', true))
), kept as (
    insert into postroom.limit_place as p (limit_id, worker, held, wanted)
    select id, $1, greatest(used, places, 0), places_wanted
    from granted where places is not null and greatest(used, places_wanted) > 0
    on conflict (limit_id, worker) do update set held = excluded.held, wanted = excluded.wanted
    where (p.held, p.wanted) is distinct from (excluded.held, excluded.wanted)
), returned as (
    delete from postroom.limit_place p using granted g
    where p.limit_id = g.id and p.worker = $1 and (g.places is null or greatest(g.used, g.places_wanted) = 0)
)
select id, coalesce(starts, 0) as starts, coalesce(places, 0) as places,
    (starts + 1) / per_second - extract(epoch from statement_timestamp() - spent_to)::float8 as next_start_s
from granted
