-- Empty the raw bodies of events received long ago; the rest of the row stays. $1 days, $2 how many at most
update postroom.stripe_event e set raw = null
from (
    select account, event_id from postroom.stripe_event
    where raw is not null and received_at < now() - make_interval(days => $1)
    order by received_at limit $2
) old
where e.account = old.account and e.event_id = old.event_id
returning 1
