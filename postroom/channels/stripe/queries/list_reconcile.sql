-- How the comparison of each account with Stripe stands, by the clock of the database
select account, live, began_at, cursor_at, run_at, missed, missed_at, endpoint, endpoint_reason, last_event_at, usual_gap_s,
    extract(epoch from now() - cursor_at)::float8 as behind_s,
    extract(epoch from now() - missed_at)::float8 as missed_ago_s,
    extract(epoch from now() - last_event_at)::float8 as silent_s,
    extract(epoch from now() - watched_at)::float8 as watched_s
from postroom.stripe_reconcile order by account <> 'self', account
