-- How long what is past due keeps its access. $1 interval
update postroom.stripe_access_state set grace = $1 where grace <> $1
