-- The schema `stripe`: what Stripe says, for people and reports. Its comment is how this schema is told from one of the same
-- name that other software made, which is left alone. May be run again.
do $$
declare
    there constant oid := to_regnamespace('stripe');
begin
    if there is null then
        create schema stripe;
    elsif obj_description(there, 'pg_namespace') like 'Postroom: %' then
        return;
    elsif exists (select from pg_class where relnamespace = there union all select from pg_proc where pronamespace = there) then
        raise exception 'this database has a schema "stripe" that is not Postroom''s'
            using hint = 'Postroom needs the name. Rename the other one (alter schema stripe rename to …), then migrate again.',
                errcode = 'duplicate_schema';
    end if;
    comment on schema stripe is 'Postroom: Stripe''s objects as the mirror has them';
exception when insufficient_privilege then
    raise exception 'the schema "stripe" is missing, and % may not make it', current_user
        using hint = 'Run `postroom migrate --roles` as an administrator, once.', errcode = 'insufficient_privilege';
end
$$;
