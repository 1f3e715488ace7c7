-- Let a role of this database publish and do nothing else, and postroom_publisher, which all databases of a server share.
-- What they have already is not granted again: each grant writes the catalog. Who may execute the functions but not use
-- the schema was shut out by a person, and stays so. A longer name of a database would not fit behind the prefix.
do $$
declare
    own constant text := 'postroom_publisher_' || case when octet_length(current_database()) <= 44
        then current_database() else md5(current_database()) end;
    publisher text;
    callable regprocedure;
begin
    foreach publisher in array array['postroom_publisher', own] loop
        if not exists (select from pg_roles where rolname = publisher) then
            begin
                execute format('create role %I nologin', publisher);
            exception
                when duplicate_object or unique_violation then null; -- another database of this server was faster
                when insufficient_privilege then
                    raise warning 'role % is missing and may not be created here; ask an administrator to', publisher;
                    continue;
            end;
        end if;
        if not has_schema_privilege(publisher, 'postroom', 'usage') then
            continue when has_function_privilege(publisher, 'postroom.publish_many(jsonb)', 'execute');
            execute format('grant usage on schema postroom to %I', publisher);
        end if;
        for callable in
            select oid::regprocedure from pg_proc
            where pronamespace = 'postroom'::regnamespace and proname in ('publish', 'publish_many')
                and not has_function_privilege(publisher, oid, 'execute')
        loop
            execute format('grant execute on function %s to %I', callable, publisher);
        end loop;
    end loop;
end
$$
