-- A page is stored. $1 account, $2 live, $3 type, $4 where the page began, $5 where it ended, $6 how many objects,
-- $7 whether it was the last one. Nothing is returned where somebody else has moved it meanwhile.
update postroom.stripe_load
set after = $5, objects = objects + $6, ended_at = case when $7 then now() end
where account = $1 and live = $2 and type = $3 and after is not distinct from $4 and ended_at is null
returning 1
