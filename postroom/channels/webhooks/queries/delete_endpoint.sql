-- $1 endpoint.
delete from postroom.endpoint where id = $1 returning id
