-- Endpoints that are whose and where they are by this address. $1 pattern, $2 how many at most
select id from postroom.endpoint where url ~* $1 or tenant ~* $1 order by id limit $2
