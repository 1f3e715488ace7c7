-- Keep what the canary found, and how large the database is, which takes a look at each of its files.
-- $1 published, $2 delivered, $3 open, $4 dead, $5 cancelled, $6 without receiver
insert into postroom.ledger_check (checked_at, published, delivered, open, dead, cancelled, no_receiver, database_bytes)
values (now(), $1, $2, $3, $4, $5, $6, pg_database_size(current_database()))
on conflict (only_one) do update
set checked_at = excluded.checked_at, published = excluded.published, delivered = excluded.delivered,
    open = excluded.open, dead = excluded.dead, cancelled = excluded.cancelled,
    no_receiver = excluded.no_receiver, database_bytes = excluded.database_bytes
