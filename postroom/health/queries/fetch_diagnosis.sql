-- The server in one row, for the doctor. `publisher`: there is a role of this database, or of its server, to publish with.
-- `may_publish`: one of them may; true also where there is nothing to publish with yet.
with publisher as (
    select oid from pg_roles where rolname in ('postroom_publisher', 'postroom_publisher_' ||
        case when octet_length(current_database()) <= 44 then current_database() else md5(current_database()) end)
)
select current_setting('server_version') as version, now() as now,
    exists (select from publisher) as publisher,
    to_regproc('postroom.publish_many') is null or exists (
        select from publisher r join pg_namespace n on n.nspname = 'postroom'
        where has_schema_privilege(r.oid, n.oid, 'usage') and not exists (
            select from pg_proc p where p.pronamespace = n.oid and p.proname in ('publish', 'publish_many')
                and not has_function_privilege(r.oid, p.oid, 'execute'))) as may_publish
