-- Hand back, with no attempt spent, claims that a worker does not know of: the answer to its claim was lost.
-- $1 channel, $2 worker, $3 only what was claimed before this (null: everything)
with mine as materialized (
    delete from postroom.claim_batch
    where channel = $1 and worker = $2 and ($3::timestamptz is null or claimed_at < $3)
    returning message_ids, ns
), places as materialized (
    select h.place
    from mine cross join lateral unnest(mine.message_ids, mine.ns) as m(message_id, n)
    cross join lateral (
        select d.ctid as place from postroom.delivery d where d.message_id = m.message_id and d.n = m.n offset 0
    ) h
), freed as (
    update postroom.delivery set worker = null, claimed_at = null
    where ctid = any (array(select place from places))
        and worker = $2 and ($3::timestamptz is null or claimed_at < $3)
    returning message_id
)
select count(*) as count, now() as at from freed
