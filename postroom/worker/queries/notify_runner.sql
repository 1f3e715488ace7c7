-- Wake the runners when the caller's transaction commits.
select pg_notify('postroom', 'jobs')
