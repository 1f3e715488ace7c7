-- Messages with a delivery in one state that has not ended, newest first.
-- $1 channel, $2 tenant, $3 type, $4 key, $5 correlation id, $6 from id, $7 below id, $8 state, $9 parked, $10 limit
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from postroom.message m
where m.id in (
        select d.message_id from postroom.delivery d
        where ($8::text is null or d.state = $8) and ($1::text is null or d.channel = $1)
            and (d.due_at = 'infinity') = $9::boolean)
    and ($1::text is null or m.channel = $1) and ($2::text is null or m.tenant = $2)
    and ($3::text is null or m.type = $3) and ($4::text is null or m.key = $4)
    and ($5::text is null or m.correlation_id = $5)
    and ($6::uuid is null or m.id >= $6) and ($7::uuid is null or m.id < $7)
order by m.id desc
limit $10
