-- The ledger, newest first: the newest $5 messages of the range are looked at, those that fit are shown.
-- $1 channel, $2 type, $3 from id, $4 below id, $5 how many to look at, $6 'delivered', 'cancelled', 'no_receiver', 'dead' or null, $7 limit
-- Every row says where the look ended (end_id, null: it saw all); the only one that there is when nothing fits
-- has fits = false.
with looked as materialized (
    select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.created_at, m.deliveries
    from postroom.message m
    where m.id >= coalesce($3::uuid, '00000000-0000-0000-0000-000000000000')
        and m.id < coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by m.id desc
    limit $5
)
select cut.id as end_id, l.id is not null as fits, l.*
from (select 1) one
left join (select id from looked where (select count(*) from looked) >= $5 order by id limit 1) cut on true
left join lateral (
    select l.* from looked l
    where ($1::text is null or l.channel = $1) and ($2::text is null or l.type = $2)
        and ($6::text is null
            -- One at a time: of an `exists` PostgreSQL might make a hash of the whole table.
            or $6 = 'dead' and (select x.n from postroom.dead_letter x where x.message_id = l.id limit 1) is not null
            or $6 <> 'dead' and ($6 = 'no_receiver') = (l.deliveries = 0)
            and (select d.n from postroom.delivery d where d.message_id = l.id limit 1) is null
            and (select x.n from postroom.dead_letter x where x.message_id = l.id limit 1) is null
            and ($6 = 'cancelled') = coalesce((select a.outcome = 'cancelled' from postroom.attempt a
                where a.message_id = l.id and a.ended_at >= l.created_at order by a.ended_at desc limit 1), false))
    order by l.id desc
    limit $7
) l on true
order by l.id desc
