-- Dead letters, newest first.
-- $1 channels, $2 cause, $3 fingerprint, $4 tenant, $5 died since, $6 limit; null means any.
-- $7, $8, $9 died_at, message id and n of the last one seen, or nulls
select l.message_id, l.n, l.channel, l.destination, l.endpoint_id, l.attempts, l.cause, l.fingerprint, l.reason,
    l.code, l.died_at, m.type, m.tenant, m.key, m.correlation_id
from postroom.dead_letter l
join postroom.message m on m.id = l.message_id
where l.channel = any ($1::text[]) and ($2::text is null or l.cause = $2)
    and ($3::text is null or l.fingerprint = $3) and ($4::text is null or l.tenant = $4)
    and ($5::timestamptz is null or l.died_at >= $5)
    and ($7::timestamptz is null or (l.died_at, l.message_id, l.n) < ($7, $8::uuid, $9::smallint))
order by l.died_at desc, l.message_id desc, l.n desc
limit $6
