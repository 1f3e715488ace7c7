-- What the mirror has of objects, in order; no row for one that it has not. Each is looked up by itself, as in
-- fetch_mirror_states.
-- $1 accounts, $2 object ids
select i.nr, o.data::text as kept
from unnest($1::text[], $2::text[]) with ordinality as i(account, object_id, nr)
cross join lateral (
    select data from postroom.stripe_object where account = i.account and object_id = i.object_id offset 0
) o
