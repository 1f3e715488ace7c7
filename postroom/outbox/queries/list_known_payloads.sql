-- The payloads of messages, but for those that were emptied. $1 ids
select id, channel, payload::text as payload from postroom.message where id = any ($1::uuid[]) and payload <> '{}'
