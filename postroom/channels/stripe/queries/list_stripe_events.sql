-- What Stripe sent, newest first, as long as the raw bodies are kept.
-- $1 and $2 received_at and event id of the last one seen, $3 how many to look at, $4 state, $5 type, $6 limit
-- Every row says where the look ended (end_…, null: it saw all); the only one that there is when nothing fits
-- has fits = false.
with scanned as materialized (
    select account, event_id, message_id, source, state, type, object_id, api_version, livemode, thin, event_created, secret,
        received_at, settled_at
    from postroom.stripe_event
    where raw is not null and received_at <= coalesce($1::timestamptz, 'infinity')
        and (received_at, event_id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2::text, ''))
    order by received_at desc, event_id desc
    limit $3
), cut as (
    select received_at, event_id from scanned
    where (select count(*) from scanned) >= $3
    order by received_at, event_id limit 1
)
select cut.received_at as end_received_at, cut.event_id as end_event_id, e.event_id is not null as fits, e.*,
    extract(epoch from e.received_at - e.event_created)::float8 as lag_s,
    extract(epoch from e.settled_at - e.received_at)::float8 as processed_s,
    exists (select from postroom.dead_letter l where l.message_id = e.message_id) as dead,
    (select d.last_reason from postroom.delivery d where d.message_id = e.message_id limit 1) as waiting_for
from (select 1) one
left join cut on true
left join lateral (
    select * from scanned l
    where ($4::text is null or l.state = $4) and ($5::text is null or l.type = $5)
    order by l.received_at desc, l.event_id desc
    limit $6
) e on true
order by e.received_at desc, e.event_id desc
