-- Stop or resume the schedule of a job. $1 name, $2 paused
update postroom.job set paused = $2 where name = $1 returning name
