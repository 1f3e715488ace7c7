-- Dead letters of some tenants by channel and cause, of the first $1. $2 tenants, $3 channels or null for all
select l.channel, l.cause, count(*) as count
from (
    select d.channel, d.cause from postroom.dead_letter d
    where d.tenant = any ($2) and d.tenant <> '' and ($3::text[] is null or d.channel = any ($3)) limit $1
) l
group by l.channel, l.cause
