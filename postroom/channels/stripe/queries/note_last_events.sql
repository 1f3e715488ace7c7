-- When the last event of each account came in, by whatever way, and the longest time without one; that one is only
-- learned from looks that follow each other. A moment that is given, and not found here, lets the planner see how few
-- events are younger.
-- $1 seconds after which a look follows no other, $2 seconds in which the longest time counts for half, $3 from when on
-- events are looked at
with came as (
    select case when strpos(split_part(account, '/', 1), '_') > 0 then 'self' else split_part(account, '/', 1) end as via,
        received_at
    from postroom.stripe_event
    where raw is not null and received_at >= $3
), seen as (
    select r.account, min(came.received_at) as first_at, max(came.received_at) as last_at
    from postroom.stripe_reconcile r
    left join came on came.via = r.account and came.received_at > r.looked_at
    group by r.account
)
update postroom.stripe_reconcile r
set last_event_at = greatest(r.last_event_at, seen.last_at), looked_at = now(),
    usual_gap_s = greatest(
        r.usual_gap_s * 0.5 ^ (extract(epoch from now() - r.looked_at) / $2),
        case when now() - r.looked_at < make_interval(secs => $1)
            then extract(epoch from seen.first_at - r.last_event_at) end, 0)
from seen where seen.account = r.account
