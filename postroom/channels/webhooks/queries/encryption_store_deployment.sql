-- Write the sealed secret over what is there. $1 true, $2 secret, $3 the previous one or null; one element each
update postroom.signing_secret d set secret = s.secret, previous_secret = s.previous_secret
from unnest($1::boolean[], $2::text[], $3::text[]) as s (only_one, secret, previous_secret)
where d.only_one = s.only_one
