-- $1 channel, $2 tenant, $3 destination
delete from postroom.delivery_limit
where channel = $1 and tenant is not distinct from $2 and destination is not distinct from $3
returning id
