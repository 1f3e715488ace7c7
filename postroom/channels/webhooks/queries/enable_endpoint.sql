-- $1 endpoint.
update postroom.endpoint
set state = 'enabled', parked_reason = null, updated_at = now()
where id = $1
returning id
