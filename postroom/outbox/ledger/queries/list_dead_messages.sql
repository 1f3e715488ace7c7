-- Messages with a dead delivery, newest first.
-- $1 channel, $2 tenant, $3 type, $4 key, $5 correlation id, $6 from id, $7 below id, $8 limit
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from postroom.message m
where m.id in (
        select l.message_id from postroom.dead_letter l where ($1::text is null or l.channel = $1))
    and ($1::text is null or m.channel = $1) and ($2::text is null or m.tenant = $2)
    and ($3::text is null or m.type = $3) and ($4::text is null or m.key = $4)
    and ($5::text is null or m.correlation_id = $5)
    and ($6::uuid is null or m.id >= $6) and ($7::uuid is null or m.id < $7)
order by m.id desc
limit $8
