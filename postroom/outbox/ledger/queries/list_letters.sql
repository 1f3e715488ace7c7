-- Dead letters, newest first; of each channel (and tenant) the newest $8 behind the last one seen are looked at.
-- To be planned for its values (plan_for_values): the tenant has an index of its own.
-- $1 channels, $2 cause, $3 tenant, $4 destination, $5, $6, $7 died_at, message id and n of the last one seen,
-- $9 limit; null means any. Every row says where the look ended (end_…, null: it saw all); the only one that
-- there is when nothing fits has fits = false.
with looked as materialized (
    select l.*
    from unnest($1::text[]) channel (name)
    cross join lateral (
        select * from postroom.dead_letter d
        where d.channel = channel.name and ($3::text is null or d.tenant = $3)
            and (d.died_at, d.message_id, d.n) < (coalesce($5::timestamptz, 'infinity'),
                coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($7::smallint, 32767::smallint))
        order by d.died_at desc, d.message_id desc, d.n desc
        limit $8
    ) l
), cut as (
    -- The channels of which there may be more; beyond the newest of their ends the order would have gaps.
    select c.* from (select channel, count(*) as count from looked group by channel) full_one
    cross join lateral (select died_at, message_id, n from looked l where l.channel = full_one.channel
        order by died_at, message_id, n limit 1) c
    where full_one.count >= $8
    order by c.died_at desc, c.message_id desc, c.n desc limit 1
)
select cut.died_at as end_died_at, cut.message_id as end_message_id, cut.n as end_n, l.message_id is not null as fits,
    l.*
from (select 1) one
left join cut on true
left join lateral (
    select l.message_id, l.n, l.channel, l.destination, l.attempts, l.cause, l.fingerprint, l.reason, l.code, l.died_at,
        m.type, m.tenant, m.key, e.url
    from looked l
    join postroom.message m on m.id = l.message_id
    left join postroom.endpoint e on e.id = l.endpoint_id
    where ($2::text is null or l.cause = $2)
        and ($4::text is null or l.destination = $4)
        and (cut.n is null or (l.died_at, l.message_id, l.n) >= (cut.died_at, cut.message_id, cut.n))
    order by l.died_at desc, l.message_id desc, l.n desc
    limit $9
) l on true
order by l.died_at desc, l.message_id desc, l.n desc
