-- $1 endpoint, $2 deliveries a second at which what waited is let go (null: all at once).
update postroom.endpoint
set state = 'enabled', parked_reason = null, disabled_at = null, failing_since = null, release_pace = $2,
    updated_at = now()
where id = $1
returning id
