-- A run went well. $1 name, $2 worker, $3 start, $4 how much was done
with run as (
    insert into postroom.job_run (job, worker, started_at, outcome, work_count) values ($1, $2, $3, 'succeeded', $4)
)
update postroom.job
set beat_at = now(), succeeded_at = now(), failures = 0, last_error = null,
    worker = case when worker = $2 then null else worker end
where name = $1
