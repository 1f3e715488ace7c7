-- A run failed. $1 name, $2 worker, $3 start, $4 error
with run as (
    insert into postroom.job_run (job, worker, started_at, outcome, error) values ($1, $2, $3, 'failed', $4)
)
update postroom.job
set beat_at = now(), failed_at = now(), failures = failures + 1, last_error = $4,
    worker = case when worker = $2 then null else worker end
where name = $1
