-- Nobody else changes an endpoint until the transaction ends, so that what was before is what was changed. $1 endpoint
select from postroom.endpoint where id = $1 for no key update
