-- Recipients not to be mailed, of many deliveries. In the same order: $1 number of the lookup, $2 message id,
-- $3 n of the delivery, $4 position in its list of recipients, $5 address in lower case
select r.lookup, r.recipient, s.reason
from unnest($1::int[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[])
    as r (lookup, message_id, n, recipient, address)
left join postroom.suppression s on s.address = r.address
left join postroom.email_accepted a
    on a.message_id = r.message_id and a.n = r.n and a.recipient = r.recipient
where s.address is not null or a.recipient is not null
order by r.lookup, r.recipient
