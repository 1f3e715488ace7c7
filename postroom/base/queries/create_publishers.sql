-- The roles that publish and do nothing else, where they may be made: of this database, and the one that all databases of a
-- server share. A longer name of a database would not fit behind the prefix. What they may do is in grants.sql.
do $$
declare
    own constant text := 'postroom_publisher_' || case when octet_length(current_database()) <= 44
        then current_database() else md5(current_database()) end;
    publisher text;
begin
    foreach publisher in array array['postroom_publisher', own] loop
        if not exists (select from pg_roles where rolname = publisher) then
            begin
                execute format('create role %I nologin', publisher);
            exception
                when duplicate_object or unique_violation then null; -- another database of this server was faster
                when insufficient_privilege then
                    raise warning 'role % is missing and may not be created here; ask an administrator to', publisher;
            end;
        end if;
    end loop;
end
$$
