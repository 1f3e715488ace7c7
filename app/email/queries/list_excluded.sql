-- Recipients not to be mailed. $1 message id, $2 n of the delivery, $3 addresses in lower case, in order
select (r.position - 1)::int as recipient, s.reason
from unnest($3::text[]) with ordinality as r (address, position)
left join postroom.suppression s on s.address = r.address
left join postroom.email_accepted a
    on a.message_id = $1 and a.n = $2 and a.recipient = r.position - 1
where s.address is not null or a.recipient is not null
order by r.position
