-- $1 endpoint, $2 the new secret, $3 seconds for which the present one stays valid.
update postroom.endpoint
set previous_secret = secret, previous_secret_until = now() + make_interval(secs => $3), secret = $2,
    updated_at = now()
where id = $1
returning id
