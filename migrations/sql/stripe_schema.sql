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

-- What the views look objects up by: ids without their account, and all of a type. Where the mirror is in use the index is
-- there already, made beside its runners. None is over the data: an update of them would rewrite all indexes then.
do $$
begin
    if to_regclass('postroom.stripe_object_type_id') is null then
        create index stripe_object_type_id on postroom.stripe_object (type, object_id);
    end if;
end
$$;

-- All objects, whatever their type: also of types that no view is made for. The others are in stripe_views.sql.
create or replace view stripe.object as
select o.account, o.object_id as id, o.type, coalesce(o.livemode, o.data ->> 'livemode' = 'true') as livemode, o.deleted, o.as_of,
    o.api_version, o.data ? '$' as sealed,
    case when not o.data ? '$' then o.data - '{auth_code,client_secret,confirmation_secret,secret}'::text[] end as raw
from postroom.stripe_object o;
