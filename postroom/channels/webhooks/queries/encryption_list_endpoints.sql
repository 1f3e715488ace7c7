-- Endpoints of a batch with a secret that the current key has not sealed, locked. $1 after this id, $2 up to this one,
-- $3 what the current key's texts begin with
select id as key, id, secret, previous_secret from postroom.endpoint
where id > $1 and id <= $2 and not (starts_with(secret, $3) and starts_with(coalesce(previous_secret, $3), $3))
order by id
for no key update
