-- Whether this database has the functions that publish, and whether who signed in may call them
select count(*) = 2 as installed,
    coalesce(bool_and(has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')), false) as granted
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'postroom' and p.proname in ('publish', 'publish_many')
