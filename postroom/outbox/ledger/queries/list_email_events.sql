-- What providers tell of some mails, oldest first. $1 message ids, $2 limit
select message_id, provider, kind, permanent, recipient, reason, at
from postroom.email_event
where message_id = any ($1::uuid[])
order by at, message_id
limit $2
