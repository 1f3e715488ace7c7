-- Every job known, with the age of its signs of life by the database's clock.
select name, every_s, beat_at, started_at, succeeded_at, failed_at, failures, last_error, next_run_at, paused, worker
from postroom.job
order by name
