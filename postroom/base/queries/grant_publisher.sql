-- Let the role postroom_publisher publish and do nothing else, whenever it was made. What it has already is not
-- granted again: each grant writes the catalog.
do $$
declare
    callable regprocedure;
begin
    if not exists (select from pg_roles where rolname = 'postroom_publisher') then
        return;
    end if;
    if not has_schema_privilege('postroom_publisher', 'postroom', 'usage') then
        grant usage on schema postroom to postroom_publisher;
    end if;
    for callable in
        select oid::regprocedure from pg_proc
        where pronamespace = 'postroom'::regnamespace and proname in ('publish', 'publish_many')
            and not has_function_privilege('postroom_publisher', oid, 'execute')
    loop
        execute format('grant execute on function %s to postroom_publisher', callable);
    end loop;
end
$$
