-- The last attempt at an endpoint, among the newest messages of its tenant. $1 endpoint, $2 tenant, $3 how many messages
with newest as (
    select id from postroom.message where channel = 'webhook' and tenant = $2 order by id desc limit $3
)
select a.message_id, a.outcome, a.code, a.reason, a.ended_at
from newest m
join lateral (
    select * from postroom.attempt where message_id = m.id and endpoint_id = $1 order by ended_at desc limit 1
) a on true
order by a.ended_at desc limit 1
