-- Dead letters, newest first. The newest $15 behind the last one seen are looked at: those of one fault or of one
-- receiver, where it is given, else of each channel (and cause, and tenant); those that fit are shown.
-- To be planned for its values (plan_for_values): cause and tenant have indexes of their own.
-- $1 … $11 the filter, as in replay_dead_letters; $12, $13, $14 died_at, message id and n of the last one seen, or
-- nulls; $16 limit. Every row says where the scan ended (end_…, null: it saw all); the only one that there is when
-- nothing fits has fits = false.
with scanned as materialized (
    select channel.name as source, l.*
    from unnest(coalesce($1::text[], array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task'])) as channel (name)
    cross join lateral (
        select * from postroom.dead_letter d
        where $3::text is null and $6::text is null
            and d.channel = channel.name and ($2::text is null or d.cause = $2)
            and ($4::text is null or d.tenant = $4)
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
            and (d.died_at, d.message_id, d.n) < (coalesce($12::timestamptz, 'infinity'),
                coalesce($13::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($14::smallint, 32767::smallint))
        order by d.died_at desc, d.message_id desc, d.n desc
        limit $15
    ) l
    union all
    (select 'fault', d.* from postroom.dead_letter d
    where d.fingerprint = $3 and d.died_at <= coalesce($12::timestamptz, 'infinity')
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and (d.died_at, d.message_id, d.n) < (coalesce($12::timestamptz, 'infinity'),
            coalesce($13::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($14::smallint, 32767::smallint))
    order by d.died_at desc, d.message_id desc, d.n desc
    limit $15)
    union all
    (select 'receiver', d.* from postroom.dead_letter d
    where $3::text is null and d.destination = $6 and d.died_at <= coalesce($12::timestamptz, 'infinity')
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and (d.died_at, d.message_id, d.n) < (coalesce($12::timestamptz, 'infinity'),
            coalesce($13::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($14::smallint, 32767::smallint))
    order by d.died_at desc, d.message_id desc, d.n desc
    limit $15)
), cut as (
    -- The sources of which there may be more; beyond the newest of their ends the order would have gaps.
    select c.* from (select source, count(*) as count from scanned group by source) full_one
    cross join lateral (select died_at, message_id, n from scanned s where s.source = full_one.source
        order by died_at, message_id, n limit 1) c
    where full_one.count >= $15
    order by c.died_at desc, c.message_id desc, c.n desc limit 1
)
select cut.died_at as end_died_at, cut.message_id as end_message_id, cut.n as end_n, l.message_id is not null as fits,
    l.message_id, l.n, l.channel, l.destination, l.endpoint_id, l.attempts, l.cause, l.fingerprint, l.reason, l.code,
    l.died_at, l.tenant, m.type, m.key, m.correlation_id
from (select 1) one
left join cut on true
left join lateral (
    select * from scanned s
    where ($1::text[] is null or s.channel = any ($1)) and ($2::text is null or s.cause = $2)
        and ($4::text is null or s.tenant = $4) and ($6::text is null or s.destination = $6)
        -- One at a time: a join might read the whole ledger.
        and ($5::text is null or (select m.type from postroom.message m where m.id = s.message_id) = $5)
        and ($9::uuid[] is null or s.message_id = any ($9)) and ($10::text[] is null or s.code = any ($10))
        and ($11::text[] is null or s.tenant = any ($11))
        and (cut.n is null or (s.died_at, s.message_id, s.n) >= (cut.died_at, cut.message_id, cut.n))
    order by s.died_at desc, s.message_id desc, s.n desc
    limit $16
) l on true
left join postroom.message m on m.id = l.message_id
order by l.died_at desc, l.message_id desc, l.n desc
