-- Until the end of the transaction: what is made belongs to the role that owns the schema, where that is one of ours that
-- the user is a member of.
select set_config('role', o.rolname, true)
from pg_namespace n
join pg_roles o on o.oid = n.nspowner
where n.nspname = 'postroom' and starts_with(o.rolname, 'postroom_owner_') and pg_has_role(current_user, o.oid, 'member')
