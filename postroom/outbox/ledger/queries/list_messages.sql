-- The ledger, newest first. Ids are ordered by time, so that a range of times is a range of ids.
-- $1 channel, $2 tenant, $3 type, $4 key, $5 correlation id, $6 from id, $7 below id, $9 limit; null means any.
-- $8 'delivered', 'cancelled' or 'no_receiver': only those that have ended so
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from postroom.message m
where ($1::text is null or m.channel = $1) and ($2::text is null or m.tenant = $2)
    and ($3::text is null or m.type = $3) and ($4::text is null or m.key = $4)
    and ($5::text is null or m.correlation_id = $5)
    and ($6::uuid is null or m.id >= $6) and ($7::uuid is null or m.id < $7)
    and ($8::text is null
        or ($8 = 'no_receiver') = (m.deliveries = 0)
        and not exists (select from postroom.delivery d where d.message_id = m.id)
        and not exists (select from postroom.dead_letter l where l.message_id = m.id)
        and ($8 = 'cancelled') = coalesce((select a.outcome = 'cancelled' from postroom.attempt a
            where a.message_id = m.id order by a.ended_at desc limit 1), false))
order by m.id desc
limit $9
