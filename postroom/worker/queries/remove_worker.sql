-- Forget a dead worker that holds nothing any more, with its claims, and free its jobs; also one that is gone already.
-- $1 worker, $2 seconds without a beat
with holding as materialized (
    select exists (
        select from postroom.claim_batch b
        cross join lateral unnest(b.message_ids, b.ns) as m(message_id, n)
        cross join lateral (
            select from postroom.delivery d
            where d.message_id = m.message_id and d.n = m.n and d.worker = $1 offset 0
        ) held
        where b.worker = $1
    ) or exists (
        select from postroom.worker where id = $1 and beat_at >= now() - make_interval(secs => $2)
    ) as anything
), dead as (
    delete from postroom.worker
    where id = $1 and beat_at < now() - make_interval(secs => $2) and not (select anything from holding)
    returning id
), awake as (
    delete from postroom.sleeper where worker in (select id from dead)
), forgotten as (
    delete from postroom.claim_batch where worker = $1 and not (select anything from holding)
)
update postroom.job set worker = null where worker in (select id from dead)
