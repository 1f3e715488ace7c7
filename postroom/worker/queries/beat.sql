-- A worker's heartbeat, and that of the jobs it is running. $1 worker, $2 names of jobs
with alive as (
    update postroom.worker set beat_at = now() where id = $1 returning id
), beats as (
    update postroom.job set beat_at = now() where name = any ($2::text[])
)
select id from alive
