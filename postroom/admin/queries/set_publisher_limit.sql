-- What a role that logs in may publish. $1 role, $2 tenants or null for all, $3 channels or null for all. Returns what it
-- might before, with nulls for everything; no row where there is no such role.
with known as (
    select r.rolname, l.tenants, l.channels
    from pg_roles r
    left join postroom.publisher_limit l on l.role = r.rolname
    where r.rolname = $1 and r.rolcanlogin
), kept as (
    insert into postroom.publisher_limit (role, tenants, channels)
    select rolname, $2::text[], $3::text[] from known
    on conflict (role) do update
    set tenants = excluded.tenants, channels = excluded.channels, changed_at = now()
)
select tenants, channels from known
