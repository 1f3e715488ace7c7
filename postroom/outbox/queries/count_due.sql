-- How many deliveries of a lane are due and not claimed. $1 channel, $2 count no further, $3 and $4 the states of the lane
select count(*) from (
    select from postroom.delivery
    where channel = $1 and state in ($3, $4) and worker is null and due_at <= now()
    limit $2) due
