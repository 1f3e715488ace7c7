-- Mirror an object, unless what is there is newer. What was fetched after the last one always wins.
-- $1 account, $2 object id, $3 type, $4 JSON text, $5 deleted, $6 as of, $7 event id, $8 rank, $9 fetched
insert into postroom.stripe_object as o
    (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched)
values ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9)
on conflict (account, object_id) do update
set type = excluded.type, data = excluded.data, deleted = excluded.deleted, as_of = excluded.as_of,
    event_id = excluded.event_id, event_rank = excluded.event_rank, fetched = excluded.fetched,
    updated_at = now()
where (o.as_of, o.event_rank) <= (excluded.as_of, excluded.event_rank)
