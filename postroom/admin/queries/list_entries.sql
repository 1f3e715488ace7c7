-- The audit trail from one moment up to another, oldest first, a page of it. $1 from, $2 up to but not, $3 and $4 after
-- the entry of this moment and id, $5 how many at most
select id, at, actor, action, subject, detail::text as detail, request_id, token_id
from postroom.audit
where at >= $1 and at < $2 and (at, id) > ($3, $4)
order by at, id limit $5
