-- Note that an endpoint fails, and disable one that has only failed for so long. By the database's clock; an endpoint
-- of which nothing new is known is left alone. $1 endpoint, $2 reason, $3 seconds.
with known as (
    select id, failing_since <= now() - make_interval(secs => $3) as for_long
    from postroom.endpoint
    where id = $1 and state = 'enabled' and (failing_since is null or failing_since <= now() - make_interval(secs => $3))
    for no key update
)
update postroom.endpoint e
set failing_since = coalesce(e.failing_since, now()), updated_at = now(),
    state = case when known.for_long then 'parked' else e.state end,
    parked_reason = case when known.for_long then $2 else e.parked_reason end,
    disabled_at = case when known.for_long then now() else e.disabled_at end
from known
where e.id = known.id
returning coalesce(known.for_long, false) as disabled
