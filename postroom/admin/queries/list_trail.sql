-- The audit trail, newest first: the newest $4 below the last one seen are scanned at.
-- $1 below this id or null, $2 actor or null, $3 action or null, $5 limit
-- Every row says where the look ended (end_id, null: it saw all); the only one that there is when nothing fits
-- has fits = false.
with scanned as materialized (
    select id, at, actor, action, subject, detail::text as detail, request_id, token_id
    from postroom.audit where id < coalesce($1::bigint, 9223372036854775807)
    order by id desc limit $4
)
select cut.id as end_id, l.id is not null as fits, l.*
from (select 1) one
left join (select id from scanned where (select count(*) from scanned) >= $4 order by id limit 1) cut on true
left join lateral (
    select * from scanned l
    where ($2::text is null or l.actor = $2) and ($3::text is null or l.action = $3)
    order by l.id desc limit $5
) l on true
order by l.id desc
