-- Open a breaker, unless a person holds it or it is open already. Periods double with each opening in a row.
-- $1 name, $2 reason, $3 first period in seconds, $4 longest period in seconds, $5 worker
insert into postroom.circuit as c (name, state, reason, openings, opened_at, retry_at)
values ($1, 'open', $2, 1, now(), now() + make_interval(secs => $3))
on conflict (name) do update
set state = 'open', reason = excluded.reason, openings = least(c.openings + 1, 20), opened_at = now(),
    retry_at = now() + make_interval(secs => least($4, $3 * power(2, least(c.openings, 19)))),
    probe_worker = null, changed_at = now()
where not c.forced and (c.state = 'closed' or (c.state = 'half_open' and c.probe_worker = $5))
returning c.name
