-- $1 endpoint, $2 reason.
update postroom.endpoint
set state = 'parked', parked_reason = $2, updated_at = now()
where id = $1 and state = 'enabled'
returning id
