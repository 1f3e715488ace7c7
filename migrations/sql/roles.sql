-- The roles of this database and the owner of its schemas: what only somebody who may create roles can do. Run by
-- `postroom migrate --roles`, or by an administrator, in the database itself:
--     postroom migrate --print-roles | psql --single-transaction -v ON_ERROR_STOP=1 "$ADMINISTRATORS_URL"
-- What each may do is in grants.sql, which every `postroom migrate` applies. May be run again.
do $$
declare
    suffix constant text := case when octet_length(current_database()) <= 44
        then current_database() else md5(current_database()) end;
    owner constant text := 'postroom_owner_' || suffix;
    super constant boolean := (select rolsuper from pg_roles where rolname = current_user);
    part text;
    owner_oid oid;
    earlier oid;
    ours oid[];
    foreign_objects text[];
    command text;
begin
    foreach part in array array['owner', 'runner', 'api', 'reader', 'publisher'] loop
        if not exists (select from pg_roles where rolname = format('postroom_%s_%s', part, suffix)) then
            execute format('create role %I nologin', format('postroom_%s_%s', part, suffix));
        end if;
    end loop;

    foreach part in array array['postroom', 'stripe'] loop
        if to_regnamespace(part) is null then
            if not super then
                execute format('grant %I to %I', owner, current_user);
            end if;
            execute format('create schema %I authorization %I', part, owner);
        end if;
    end loop;

    owner_oid := (select oid from pg_roles where rolname = owner);
    -- A schema `stripe` that other software made has no such comment; see stripe_schema.sql.
    ours := array(select oid from pg_namespace
        where nspname = 'postroom' or nspname = 'stripe' and obj_description(oid, 'pg_namespace') like 'Postroom: %');
    -- Tables that are linked to a sequence take it along.
    foreign_objects := array(
        select format('alter schema %I owner to %I', nspname, owner) from pg_namespace
        where oid = any (ours) and nspowner <> owner_oid
        union all
        select format('alter %s %s owner to %I', case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
            c.oid::regclass, owner)
        from pg_class c
        where c.relnamespace = any (ours) and c.relkind in ('r', 'p', 'v', 'S')
            and c.relowner <> owner_oid
            and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and c.relkind = 'S')
        union all
        select format('alter function %s owner to %I', p.oid::regprocedure, owner)
        from pg_proc p
        where p.pronamespace = any (ours) and p.proowner <> owner_oid);
    select nspowner into earlier from pg_namespace where nspname = 'postroom' and nspowner <> owner_oid;
    if foreign_objects = '{}' then
        return;
    end if;
    if not super then
        execute format('grant %I to %I', owner, current_user);
        execute format('grant create on database %I to %I', current_database(), owner);
    end if;

    -- All tables at once, for a moment, when nobody has them: publishers would wait behind whoever waits for one. Only the
    -- catalog is written, however many rows there are.
    perform set_config('lock_timeout', '1s', true);
    for attempt in 1..30 loop
        begin
            execute (
                select 'lock table ' || string_agg(c.oid::regclass::text, ', ' order by c.relnamespace, c.relname) || ' in access exclusive mode'
                from pg_class c where c.relnamespace = any (ours) and c.relkind in ('r', 'p'));
            exit;
        exception when lock_not_available or deadlock_detected then
            if attempt = 30 then
                raise;
            end if;
            perform pg_sleep(1);
        end;
    end loop;
    perform set_config('lock_timeout', '60s', true);
    if earlier is not null then
        -- What runs as the owner of before goes on, until it has a role of its own: then `revoke postroom_owner_… from …`.
        if not (select rolsuper from pg_roles where oid = earlier) and pg_get_userbyid(earlier) <> current_user then
            execute format('grant %I to %s', owner, earlier::regrole);
        end if;
    end if;
    foreach command in array foreign_objects loop
        execute command;
    end loop;
    if not super then
        execute format('revoke create on database %I from %I', current_database(), owner);
    end if;
end
$$;
