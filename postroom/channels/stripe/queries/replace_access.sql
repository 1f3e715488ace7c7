-- What objects say of access, in place of what they said before; kind null: nothing. Their rows of the mirror are locked.
-- $1 JSON list of objects, each once, with the columns of the table
with given as materialized (
    select * from jsonb_to_recordset($1::text::jsonb) as g (account text, object_id text, customer text, kind text, state text,
        names text[], untils timestamptz[], renews boolean, due timestamptz, mirrored_at timestamptz)
), gone as (
    delete from postroom.stripe_access a using given g
    where g.kind is null and a.account = g.account and a.object_id = g.object_id
)
insert into postroom.stripe_access
    (account, object_id, customer, kind, state, names, untils, renews, due, mirrored_at)
select account, object_id, customer, kind, state, names, untils, renews, due, coalesce(mirrored_at, now())
from given where kind is not null
on conflict (account, object_id) do update
set customer = excluded.customer, kind = excluded.kind, state = excluded.state, names = excluded.names,
    untils = excluded.untils, renews = excluded.renews, due = excluded.due, mirrored_at = excluded.mirrored_at
