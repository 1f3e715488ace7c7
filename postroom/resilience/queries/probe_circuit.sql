-- Take the one trial that a breaker allows when its time has come.
-- $1 name, $2 worker, $3 seconds until another may take it
update postroom.circuit
set state = 'half_open', probe_worker = $2, retry_at = now() + make_interval(secs => $3), changed_at = now()
where name = $1 and not forced and state <> 'closed' and retry_at <= now()
returning name
