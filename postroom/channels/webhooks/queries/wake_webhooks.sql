-- No parameters. Wakes sleepers when the caller's transaction commits.
select postroom.wake('webhook')
