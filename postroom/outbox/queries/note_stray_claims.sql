-- Note what no living worker holds among some blocks of the deliveries, as a claim would have: runners of before do not.
-- $1 first block, $2 how many, $3 seconds without a beat after which a worker is dead
with strays as materialized (
    select d.worker, d.channel, d.claimed_at, d.message_id, d.n
    from postroom.delivery d
    where d.ctid >= format('(%s,0)', $1::bigint)::tid and d.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
        and d.worker is not null
        and not exists (
            select from postroom.worker w
            where w.id = d.worker and w.beat_at >= now() - make_interval(secs => $3))
        and not exists (
            select from postroom.claim_batch b
            where b.worker = d.worker and b.channel = d.channel and b.claimed_at = d.claimed_at)
), noted as (
    insert into postroom.claim_batch (worker, channel, claimed_at, message_ids, ns)
    select worker, channel, claimed_at, array_agg(message_id), array_agg(n) from strays group by 1, 2, 3
)
select case when $1 + $2 < pg_relation_size('postroom.delivery') / current_setting('block_size')::bigint
    then $1 + $2 else 0 end
