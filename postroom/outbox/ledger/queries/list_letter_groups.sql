-- Dead letters by what went wrong, stepping from fingerprint to fingerprint along the index.
-- $1 channel, $2 cause; null means any. $3 most groups, $4 letters counted altogether at most
with recursive print (fingerprint) as (
    (select fingerprint from postroom.dead_letter order by fingerprint limit 1)
    union all
    select (select l.fingerprint from postroom.dead_letter l where l.fingerprint > p.fingerprint
        order by l.fingerprint limit 1)
    from print p where p.fingerprint is not null
), known as materialized (
    select fingerprint from print where fingerprint is not null limit $3
), cap as (
    select greatest(500, $4::bigint / greatest(1, count(*))) as rows from known
)
select k.fingerprint, newest.channel, newest.cause, newest.reason, newest.code, newest.message_id,
    newest.died_at as last_died_at, oldest.died_at as first_died_at, counted.count,
    (select rows from cap) as counted_max
from known k
cross join lateral (select l.channel, l.cause, l.reason, l.code, l.message_id, l.died_at from postroom.dead_letter l
    where l.fingerprint = k.fingerprint order by l.died_at desc limit 1) newest
cross join lateral (select l.died_at from postroom.dead_letter l
    where l.fingerprint = k.fingerprint order by l.died_at limit 1) oldest
cross join lateral (select count(*) from (select from postroom.dead_letter l
    where l.fingerprint = k.fingerprint order by l.died_at limit (select rows from cap)) capped) counted
where ($1::text is null or newest.channel = $1) and ($2::text is null or newest.cause = $2)
order by counted.count desc, newest.died_at desc
