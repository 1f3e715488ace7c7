-- Ask the runner of a task to cancel it. What is under way on other channels is left alone: it may have been sent.
-- $1 message id, $2 who asks. Returns how many are asked for.
with asked as (
    insert into postroom.task_run as r (message_id, cancelled_by)
    select message_id, left($2, 200) from postroom.delivery
    where message_id = $1 and channel = 'task' and worker is not null
    on conflict (message_id) do update set cancelled_by = coalesce(r.cancelled_by, excluded.cancelled_by)
    returning message_id
)
select count(*) from asked
