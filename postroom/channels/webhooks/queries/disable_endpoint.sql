-- Park an endpoint for good: nothing new is queued for it. $1 endpoint, $2 reason.
update postroom.endpoint
set state = 'parked', parked_reason = $2, disabled_at = now(), updated_at = now()
where id = $1 and state = 'enabled'
returning id
