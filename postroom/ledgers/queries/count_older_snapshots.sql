-- Sessions that see nothing of the transaction $1 (a text) and later ones. Of other users a login without rights to them sees
-- the snapshot, and not the kind of session
select count(*) as count, string_agg(pid::text, ', ') as processes
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and coalesce(backend_type, 'client backend') = 'client backend'
    and not (select ready from postroom.ledger_directory)
    and age(backend_xmin) >= age($1::text::xid8::xid)
