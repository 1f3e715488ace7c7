-- Where the comparison of an account stands. It begins now where it has not, where the account is of another mode than
-- before, and where it had no key; without a key it has no cursor.
-- $1 account, $2 live, $3 from when on, null without a key, $4 from when on else
insert into postroom.stripe_reconcile as r (account, live, began_at, cursor_at) values ($1, $2, $4, $3)
on conflict (account) do update set
    live = excluded.live,
    began_at = case when excluded.live = r.live and r.cursor_at is not null then r.began_at else excluded.began_at end,
    cursor_at = case when excluded.live = r.live and excluded.cursor_at is not null
        then coalesce(r.cursor_at, excluded.cursor_at) else excluded.cursor_at end,
    watched_at = case when excluded.live = r.live then r.watched_at else now() end,
    last_event_at = case when excluded.live = r.live then r.last_event_at end,
    usual_gap_s = case when excluded.live = r.live then r.usual_gap_s else 0 end
returning began_at, cursor_at
