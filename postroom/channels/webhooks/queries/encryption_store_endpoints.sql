-- Write sealed secrets over what is there. One element an endpoint: $1 ids, $2 secrets, $3 previous ones or null
update postroom.endpoint e set secret = s.secret, previous_secret = s.previous_secret
from unnest($1::uuid[], $2::text[], $3::text[]) as s (id, secret, previous_secret)
where e.id = s.id
