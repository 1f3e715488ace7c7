-- All of it up to here is booked. It stays while a tenant is on its way from here. $1 account, $2 live, $3 the cursor that was
-- seen, $4 cursor
update postroom.stripe_reconcile
set cursor_at = case when exists (select from postroom.ledger_tenant where step = 'fenced') then cursor_at
        else greatest(cursor_at, $4) end,
    run_at = now()
where account = $1 and live = $2 and cursor_at = $3
returning cursor_at
