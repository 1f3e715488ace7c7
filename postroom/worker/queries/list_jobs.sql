-- Every job that a runner has known, and the runner itself.
select name, beat_at as last_heartbeat_at, succeeded_at as last_success_at, failed_at as last_failure_at,
    failures as consecutive_failures, last_error,
    case when name <> 'jobs-runner' then next_run_at end as next_run_at,
    case when worker is not null then started_at end as running_since, every_s, paused
from postroom.job
order by name
