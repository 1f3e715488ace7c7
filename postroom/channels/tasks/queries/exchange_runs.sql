-- Keep how far runs are, forget those that have ended, and tell which ones are to be cancelled.
-- $1 message ids, $2 their progress, $3 message ids of runs that have ended here
with kept as (
    insert into postroom.task_run as r (message_id, progress)
    select message_id, progress from unnest($1::uuid[], $2::real[]) run (message_id, progress) order by message_id
    on conflict (message_id) do update set progress = excluded.progress
), forgotten as (
    delete from postroom.task_run r
    where r.message_id = any ($3::uuid[]) and r.cancelled_by is null and not r.message_id = any ($1)
        or not exists (select from postroom.delivery d where d.message_id = r.message_id)
)
select message_id, cancelled_by from postroom.task_run where cancelled_by is not null
