-- Compare Stripe's list of events again from there on; and by a second at least, so that a run that is under way does not take its
-- own cursor for the newest: it may have left an event to the ledger that had its owner by then.
-- $1 an array of JSON objects
insert into postroom.stripe_reconcile as r (account, live, began_at, cursor_at)
select account, live, began_at, cursor_at - interval '1 second'
from jsonb_populate_recordset(null::postroom.stripe_reconcile, $1::text::jsonb)
on conflict (account) do update
set began_at = least(r.began_at, excluded.began_at),
    cursor_at = least(r.cursor_at - interval '1 second', excluded.cursor_at)
where r.live = excluded.live
