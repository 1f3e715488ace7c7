-- What of a chain is dead. $1 message ids, $2 limit
select message_id, n, channel, destination, attempts, cause, fingerprint, reason, code, died_at
from postroom.dead_letter where message_id = any ($1::uuid[]) order by message_id, n limit $2
