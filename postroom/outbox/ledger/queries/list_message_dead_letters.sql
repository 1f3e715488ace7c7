-- The dead deliveries of one message. $1 message id
select l.message_id, l.n, l.channel, l.destination, l.endpoint_id, l.attempts, l.cause, l.fingerprint, l.reason,
    l.code, l.died_at, m.type, m.tenant, m.key, m.correlation_id
from postroom.dead_letter l join postroom.message m on m.id = l.message_id
where l.message_id = $1 order by l.n limit 1000
