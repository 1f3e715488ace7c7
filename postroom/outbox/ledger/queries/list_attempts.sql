-- Every attempt at some messages, oldest first. $1 message ids, $2 when the first was published, $3 limit,
-- $4 only those at this endpoint (null: at any). Of a mail the answer begins with its route and the server's id of it.
select message_id, n, channel, attempt, worker, outcome, code, reason, detail, duration_ms, ended_at,
    postroom.shown_destination(channel, destination, endpoint_id) as destination, endpoint_id,
    encode(content_hash, 'hex') as content_hash,
    case channel when 'email' then substring(detail from '^via ([a-z0-9_]+)[:,]') end as route,
    case channel when 'email' then substring(detail from '^(?:via [a-z0-9_]+, )?id ([^ ]+): ') end as provider_id
from postroom.attempt
where message_id = any ($1::uuid[]) and ended_at >= $2 and ($4::uuid is null or endpoint_id = $4)
order by ended_at, message_id, n, attempt
limit $3
