-- Forget a dead worker that holds nothing any more, and free its jobs. $1 worker, $2 seconds without a beat
with dead as (
    delete from postroom.worker
    where id = $1 and beat_at < now() - make_interval(secs => $2)
        and not exists (select from postroom.delivery where worker = $1)
    returning id
), awake as (
    delete from postroom.sleeper where worker in (select id from dead)
)
update postroom.job set worker = null where worker in (select id from dead)
