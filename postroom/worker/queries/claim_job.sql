-- Take a job that is due, unless another living worker has it. A worker that asks for a job does not run it,
-- so what it holds itself is left over from a run whose end could not be written down.
-- $1 name, $2 worker, $3 seconds until the next run, $4 seconds without a beat after which a worker is dead
update postroom.job j
set worker = $2, started_at = now(), beat_at = now(), requested_at = null,
    next_run_at = now() + make_interval(secs => $3)
from (
    select name, requested_at is not null as requested from postroom.job
    where name = $1 and next_run_at <= now() and (not paused or requested_at is not null)
        and (worker is null or worker = $2 or not exists (
            select from postroom.worker w where w.id = job.worker and w.beat_at >= now() - make_interval(secs => $4)))
    for update) due
where j.name = due.name
returning due.requested
