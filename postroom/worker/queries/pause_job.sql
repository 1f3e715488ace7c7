-- Stop or resume the schedule of a job, also of one that no runner has known yet. $1 name, $2 paused
insert into postroom.job (name, paused) values ($1, $2)
on conflict (name) do update set paused = excluded.paused
