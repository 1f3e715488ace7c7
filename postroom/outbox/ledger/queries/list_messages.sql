-- The ledger, newest first. The newest $9 messages below the last one seen are looked at: those of the key, chain or
-- tenant, where one is given, else those with something open, or dead, where that is asked for, else all; those that
-- fit are shown. Ids are ordered by time, so that a range of times is a range of ids.
-- $1 channel, $2 tenant, $3 type, $4 key, $5 correlation id, $6 from id, $7 below id, $8 status; null means any.
-- $10 limit, $11 tenants, $12 channels. Every row says where the scan ended (end_id, null: it saw all); the only one that
-- there is when nothing fits has fits = false.
with bounds as materialized (
    select coalesce($6::uuid, '00000000-0000-0000-0000-000000000000') as low,
        coalesce($7::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as high,
        case when $4::text is not null then 'key' when $5::text is not null then 'chain'
            when $2::text <> '' then 'tenant' when $8 in ('pending', 'retry', 'parked', 'awaiting_batch') then 'open'
            when $8 = 'dead' then 'dead' else 'all' end as source
), scanned as materialized (
    (select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
    from postroom.message m
    where (select source from bounds) = 'all'
        and m.id >= (select low from bounds) and m.id < (select high from bounds)
    order by m.id desc limit $9)
    union all
    (select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
    from postroom.message m
    where (select source from bounds) = 'tenant' and m.tenant = $2 and m.tenant <> ''
        and m.id >= (select low from bounds) and m.id < (select high from bounds)
    order by m.id desc limit $9)
    union all
    (select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
    from postroom.message m
    where (select source from bounds) = 'chain' and m.correlation_id = $5
        and m.id >= (select low from bounds) and m.id < (select high from bounds)
    order by m.id desc limit $9)
    union all
    (select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
    from unnest(array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task']) as channel (name)
    join postroom.message m on m.key = $4 and m.channel = channel.name
    where (select source from bounds) = 'key'
        and m.id >= (select low from bounds) and m.id < (select high from bounds)
    order by m.id desc limit $9)
    union all
    (select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
    from (
        (select distinct d.message_id as id from postroom.delivery d
        where (select source from bounds) = 'open'
            and d.message_id >= (select low from bounds) and d.message_id < (select high from bounds)
        order by d.message_id desc limit $9)
        union all
        (select distinct l.message_id from postroom.dead_letter l
        where (select source from bounds) = 'dead'
            and l.message_id >= (select low from bounds) and l.message_id < (select high from bounds)
        order by l.message_id desc limit $9)
    ) unended
    join postroom.message m on m.id = unended.id)
)
select cut.id as end_id, l.id is not null as fits, l.*
from (select 1) one
left join (select id from scanned where (select count(*) from scanned) >= $9 order by id limit 1) cut on true
left join lateral (
    select s.* from scanned s
    where ($1::text is null or s.channel = $1) and ($2::text is null or s.tenant = $2)
        and ($11::text[] is null or s.tenant = any ($11)) and ($12::text[] is null or s.channel = any ($12))
        and ($3::text is null or s.type = $3) and ($5::text is null or s.correlation_id = $5)
        -- One at a time: of an `exists` PostgreSQL might make a hash of the whole table.
        and case $8
            when 'dead' then
                (select x.n from postroom.dead_letter x where x.message_id = s.id limit 1) is not null
            when 'parked' then s.channel <> 'task' and
                (select d.n from postroom.delivery d where d.message_id = s.id and d.due_at = 'infinity' limit 1)
                is not null
            when 'awaiting_batch' then s.channel = 'task' and
                (select d.n from postroom.delivery d where d.message_id = s.id and d.due_at = 'infinity' limit 1)
                is not null
            when 'pending' then
                (select d.n from postroom.delivery d where d.message_id = s.id and d.state ~ '^(pending|held)'
                    and d.due_at < 'infinity' limit 1) is not null
            when 'retry' then
                (select d.n from postroom.delivery d where d.message_id = s.id and d.state like 'retry%'
                    and d.due_at < 'infinity' limit 1) is not null
            else $8 is null
                or ($8 = 'no_receiver') = (s.deliveries = 0)
                and (select d.n from postroom.delivery d where d.message_id = s.id limit 1) is null
                and (select x.n from postroom.dead_letter x where x.message_id = s.id limit 1) is null
                and ($8 = 'cancelled') = coalesce((select a.outcome = 'cancelled' from postroom.attempt a
                    where a.message_id = s.id and a.ended_at >= s.created_at order by a.ended_at desc limit 1), false)
            end
    order by s.id desc
    limit $10
) l on true
order by l.id desc
