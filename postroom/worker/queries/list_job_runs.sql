-- The last runs of a job, newest first. $1 job, $2 limit
select id, job, worker, started_at, ended_at, outcome, work_count, error,
    greatest(0, extract(epoch from ended_at - started_at))::float8 as duration_s
from postroom.job_run where job = $1 order by id desc limit $2
