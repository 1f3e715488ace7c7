-- Take the address out of what endpoints are described by. $1 pattern
update postroom.endpoint
set description = regexp_replace(description, $1, '[erased]', 'gi'),
    parked_reason = regexp_replace(parked_reason, $1, '[erased]', 'gi')
where description ~* $1 or parked_reason ~* $1
