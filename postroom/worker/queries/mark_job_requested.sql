-- Make a job due now. $1 name
insert into postroom.job (name, next_run_at, requested_at) values ($1, now(), now())
on conflict (name) do update set next_run_at = now(), requested_at = now()
