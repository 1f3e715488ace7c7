-- The deployment's own secret, locked, unless the current key has sealed it. $1 false, $2 true,
-- $3 what the current key's texts begin with
select only_one as key, null::uuid as id, secret, previous_secret from postroom.signing_secret
where only_one > $1 and only_one <= $2
    and not (starts_with(secret, $3) and starts_with(coalesce(previous_secret, $3), $3))
for no key update
