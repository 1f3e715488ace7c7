-- Every breaker that is not closed, and the two that are always shown.
select name, state, forced, reason, openings, opened_at, retry_at, changed_at,
    greatest(0, extract(epoch from retry_at - now()))::float8 as retry_in_s
from postroom.circuit
where state <> 'closed' or forced or name in ('stripe', 'email')
order by name
limit 10000
