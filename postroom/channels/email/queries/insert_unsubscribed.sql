-- Note that no more mail of this category is wanted. $1 address in lower case, $2 tenant, $3 category, $4 message id or
-- null. Whether that is new.
with new as (
    insert into postroom.unsubscribed (address, tenant, category, message_id) values ($1, $2, $3, $4)
    on conflict do nothing
    returning 1
)
select exists (select from new)
