-- Ask the runners for a run now. $1 name
update postroom.job set requested_at = now(), next_run_at = now() where name = $1 returning name
