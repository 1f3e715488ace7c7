-- Hold a breaker open or closed until it is released. Returns how it was before, if it was known.
-- $1 name, $2 'open', 'closed' or null to release (it is then closed), $3 reason
with old as materialized (
    select state, forced, reason from postroom.circuit where name = $1 for update
), made as (
    insert into postroom.circuit as c (name, state, forced, reason, opened_at, retry_at)
    values ($1, coalesce($2, 'closed'), $2 is not null, $3, case when $2 = 'open' then now() end, null)
    on conflict (name) do update
    set state = excluded.state, forced = excluded.forced, reason = excluded.reason, opened_at = excluded.opened_at,
        retry_at = null, probe_worker = null, openings = 0, changed_at = now()
)
select * from old
