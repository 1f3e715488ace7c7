-- All of it up to here is booked. $1 account, $2 live, $3 cursor
update postroom.stripe_reconcile set cursor_at = greatest(cursor_at, $3), run_at = now()
where account = $1 and live = $2 and cursor_at is not null
