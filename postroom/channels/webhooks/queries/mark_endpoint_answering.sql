-- Note that an endpoint has taken one. $1 endpoint.
update postroom.endpoint set failing_since = null where id = $1 and failing_since is not null
