-- Ask for the load of types of an account; what is asked for already goes on where it is.
-- $1 account, $2 live, $3 types, $4 whether those that have ended begin anew. Returns how many were asked for now.
with asked as (
    insert into postroom.stripe_load as l (account, live, type)
    select $1, $2, type from unnest($3::text[]) as t (type) order by type
    on conflict (account, live, type) do update
    set after = null, objects = 0, began_at = now(), ended_at = null, left_out = null
    where $4 and l.ended_at is not null
    returning 1
)
select count(*) from asked
