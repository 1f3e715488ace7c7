-- The server in one row, for the doctor. `may_publish`: true also where there is nothing to publish with yet.
select current_setting('server_version') as version, now() as now,
    exists (select from pg_roles where rolname = 'postroom_publisher') as publisher,
    (select coalesce(bool_and(has_schema_privilege(r.oid, n.oid, 'usage') and has_function_privilege(r.oid, p.oid, 'execute')), true)
        from pg_roles r cross join pg_namespace n join pg_proc p on p.pronamespace = n.oid
        where r.rolname = 'postroom_publisher' and n.nspname = 'postroom' and p.proname in ('publish', 'publish_many'))
        as may_publish
