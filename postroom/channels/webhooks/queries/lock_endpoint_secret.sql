-- The present secret of an endpoint, locked. $1 endpoint.
select secret from postroom.endpoint where id = $1 for no key update
