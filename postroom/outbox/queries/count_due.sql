-- How many deliveries of a channel are due and not claimed. $1 channel, $2 count no further
select count(*) from (
    select from postroom.delivery
    where channel = $1 and state in ('pending', 'retry') and worker is null and due_at <= now()
    limit $2) due
