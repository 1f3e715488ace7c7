-- The trail, newest first. $1 below this id or null, $2 actor or null, $3 action or null, $4 limit
select id, at, actor, action, subject, detail::text, request_id
from postroom.audit
where ($1::bigint is null or id < $1) and ($2::text is null or actor = $2) and ($3::text is null or action = $3)
order by id desc
limit $4
