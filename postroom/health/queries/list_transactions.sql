-- Transactions that have been open for long, and who holds them. $1 seconds
select pid, usename as role, coalesce(application_name, '') as application, state,
    extract(epoch from now() - xact_start)::float8 as age_s, left(query, 80) as query
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
    and backend_type is distinct from 'autovacuum worker' and xact_start < now() - make_interval(secs => $1)
order by xact_start
limit 3
