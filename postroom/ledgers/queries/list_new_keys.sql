-- A tenant's keys of this transaction and later ones, as `list_keys` has them. $1 tenant, $2 transaction id
select id, channel, type, key, created_at from postroom.message
where xid >= $2 and key is not null
    and case when starts_with(key, 'stripe:') then postroom.is_of_owner($1, key, tenant, deliveries, correlation_id)
        else tenant = $1 end
