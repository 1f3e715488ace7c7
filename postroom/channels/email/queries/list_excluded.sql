-- Recipients not to be mailed, of many deliveries. In the same order: $1 number of the lookup, $2 message id,
-- $3 n of the delivery, $4 position in its list of recipients, $5 address in lower case, $6 tenant, $7 category or null
select r.lookup, r.recipient, coalesce(s.reason, 'unsubscribed from ' || u.category) as reason
from unnest($1::int[], $2::uuid[], $3::smallint[], $4::smallint[], $5::text[], $6::text[], $7::text[])
    as r (lookup, message_id, n, recipient, address, tenant, category)
left join postroom.suppression s on s.address = r.address
left join postroom.unsubscribed u on u.address = r.address and u.tenant = r.tenant and u.category = r.category
left join postroom.email_accepted a
    on a.message_id = r.message_id and a.n = r.n and a.recipient = r.recipient
where s.address is not null or u.address is not null or a.recipient is not null
order by r.lookup, r.recipient
