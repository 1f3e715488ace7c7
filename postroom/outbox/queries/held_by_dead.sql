-- The beginning of `claim_abandoned` and `free_abandoned`: where the deliveries are that dead workers still hold, by the
-- notes of their claims. $1 dead workers
with mine as materialized (
    select b.worker, m.message_id, m.n
    from postroom.claim_batch b cross join lateral unnest(b.message_ids, b.ns) as m(message_id, n)
    where b.worker = any ($1::bigint[])
), places as materialized (
    select h.place
    from mine cross join lateral (
        select d.ctid as place from postroom.delivery d
        where d.message_id = mine.message_id and d.n = mine.n and d.worker = mine.worker offset 0
    ) h
)
