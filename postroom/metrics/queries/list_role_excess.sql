-- What the processes may do in the database beyond their work, by the role that they signed in as. Those of the API
-- are known by the name of their sessions, and who asks is one, unless it is a command: behind a pooler none has a name.
-- $1 seconds after which a silent worker counts as dead
with process as (
    select 'api' as process, session_user::text as role
    where current_setting('application_name') not in ('postroom doctor', 'postroom cli')
    union
    select 'api', a.usename::text from pg_stat_activity a
    where a.datname = current_database() and a.application_name = 'postroom'
    union
    select 'runner', w.database_role from postroom.worker w where w.beat_at > now() - make_interval(secs => $1)
)
select p.process, p.role, array_remove(array[
    case when r.rolsuper then 'superuser' end,
    case when not r.rolsuper and pg_has_role(r.oid, n.nspowner, 'member') then 'owner' end,
    case when not r.rolsuper and r.rolcreaterole then 'createrole' end,
    case when not r.rolsuper and r.rolbypassrls then 'bypassrls' end,
    case when not r.rolsuper and r.rolreplication then 'replication' end,
    case when not r.rolsuper and exists (
        select from pg_roles g where g.rolname in
            ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
            and pg_has_role(r.oid, g.oid, 'member')) then 'server' end], null) as privileges
from process p
join pg_roles r on r.rolname = p.role
join pg_namespace n on n.nspname = 'postroom'
order by p.process, p.role
