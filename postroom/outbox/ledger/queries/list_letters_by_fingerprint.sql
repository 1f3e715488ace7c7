-- Dead letters of one fault, newest first; parameters and rows as in list_letters, $10 fingerprint.
with looked as materialized (
    select * from postroom.dead_letter d
    where d.fingerprint = $10 and d.died_at <= coalesce($5::timestamptz, 'infinity')
        and (d.died_at, d.message_id, d.n) < (coalesce($5::timestamptz, 'infinity'),
            coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($7::smallint, 32767::smallint))
    order by d.died_at desc, d.message_id desc, d.n desc
    limit $8
), cut as (
    select died_at, message_id, n from looked
    where (select count(*) from looked) >= $8
    order by died_at, message_id, n limit 1
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
    where l.channel = any ($1::text[]) and ($2::text is null or l.cause = $2) and ($3::text is null or l.tenant = $3)
        and ($4::text is null or l.destination = $4)
    order by l.died_at desc, l.message_id desc, l.n desc
    limit $9
) l on true
order by l.died_at desc, l.message_id desc, l.n desc
