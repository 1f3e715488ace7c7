-- $1 channel, $2 tenant, $3 destination. Returns the one that was there.
delete from postroom.delivery_limit
where channel = $1 and tenant is not distinct from $2 and destination is not distinct from $3
returning per_second, in_flight, reason, set_by
