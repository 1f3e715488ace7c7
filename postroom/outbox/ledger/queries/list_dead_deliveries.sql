-- What of some messages is dead. $1 message ids, $2 limit
select l.message_id, l.n, l.channel, l.destination, l.endpoint_id, l.attempts, l.cause, l.fingerprint, l.reason,
    l.code, l.died_at, m.type, m.tenant, m.key, m.correlation_id
from postroom.dead_letter l
join postroom.message m on m.id = l.message_id
where l.message_id = any ($1::uuid[])
order by l.message_id, l.n
limit $2
