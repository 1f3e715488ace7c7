-- Breakers by name: those that are not closed, those that are held, and the two that are always shown.
-- $1 behind this name, $2 state or null, $3 limit
select name, state, forced, reason, openings, opened_at, retry_at, changed_at
from postroom.circuit
where name > $1 and (state <> 'closed' or forced or name in ('stripe', 'email')) and ($2::text is null or state = $2)
order by name
limit $3
