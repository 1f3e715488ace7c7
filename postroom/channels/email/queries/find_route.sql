-- Which route the last attempt took that was cut off after the mail was handed over.
-- $1 message id, $2 n, $3 when the message was published: no attempt is older
select substring(detail from '^via ([a-z0-9_]+)') from postroom.attempt
where message_id = $1 and n = $2 and ended_at >= to_timestamp($3) and outcome = 'unknown'
order by ended_at desc limit 1
