-- Mirror objects, each unless what is there is newer. What was fetched after the last one always wins, and so does the
-- mode that its account is of now: an id may be there in both. One mirrored before modes were kept is of any.
-- $1 accounts, $2 object ids, $3 types, $4 JSON texts, $5 deleted, $6 as of, $7 event ids, $8 ranks, $9 fetched,
-- $10 livemodes, $11 API versions
-- One object stands here once. In one order, so that two transactions cannot wait for each other.
-- Returns those that were written.
insert into postroom.stripe_object as o
    (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched, livemode, api_version)
select account, object_id, type, data::jsonb, deleted, as_of, event_id, event_rank, fetched, livemode, api_version
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[], $7::text[],
    $8::smallint[], $9::boolean[], $10::boolean[], $11::text[])
    as i(account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched, livemode, api_version)
order by account, object_id
on conflict (account, object_id) do update
set type = excluded.type, data = excluded.data, deleted = excluded.deleted, as_of = excluded.as_of,
    event_id = excluded.event_id, event_rank = excluded.event_rank, fetched = excluded.fetched,
    livemode = excluded.livemode, api_version = excluded.api_version, updated_at = now()
where (o.as_of, o.event_rank) <= (excluded.as_of, excluded.event_rank) or o.livemode <> excluded.livemode
returning account, object_id
