-- $1 the new secret, $2 seconds for which the present one stays valid.
update postroom.signing_secret
set previous_secret = secret, previous_secret_until = now() + make_interval(secs => $2), secret = $1
