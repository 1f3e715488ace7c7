-- $1 sha256 of the code, $2 scopes, $3 seconds it is good for
insert into postroom.sign_in_link (hash, scopes, expires_at) values ($1, $2, now() + make_interval(secs => $3))
