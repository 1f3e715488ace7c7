-- Who wants no more mail of what, in order. $1 only this address in lower case, or null; after $2 address, $3 tenant and
-- $4 category, or nulls; $5 limit
select address, tenant, category, message_id, created_at from postroom.unsubscribed
where ($1::text is null or address = $1)
    and ($2::text is null or (address, tenant, category) > ($2, $3::text, $4::text))
order by address, tenant, category limit $5
