-- A tenant's keys of this transaction and later ones. $1 tenant, $2 transaction id
select id, channel, type, key, created_at from postroom.message
where xid >= $2 and tenant = $1 and key is not null and not starts_with(key, 'stripe:')
