-- Close a breaker after its trial went well. Only the worker that holds the trial may.
-- $1 name, $2 worker
update postroom.circuit
set state = 'closed', retry_at = null, probe_worker = null, openings = 0, reason = null, changed_at = now()
where name = $1 and not forced and state = 'half_open' and probe_worker = $2
returning name
