-- How the batch ended that a task follows. $1 the task's message id
select size, delivered, dead, cancelled from postroom.batch where message_id = $1
