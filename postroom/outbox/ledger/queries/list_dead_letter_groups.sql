-- Dead letters by what went wrong, the biggest group first, stepping from fingerprint to fingerprint along the index.
-- To be planned for its values (plan_for_values): where nothing else is asked, the index alone is counted.
-- $1 … $11 the filter, as in replay_dead_letters; $12 limit, $13 most fingerprints, $14 about how many dead letters to
-- look at altogether. What does not fit is passed over: of each group so many are looked at as `counted_max` says.
with recursive print (fingerprint) as (
    (select fingerprint from postroom.dead_letter where fingerprint >= coalesce($3, '') order by fingerprint limit 1)
    union all
    select (select l.fingerprint from postroom.dead_letter l where l.fingerprint > p.fingerprint
        order by l.fingerprint limit 1)
    from print p where p.fingerprint is not null and $3::text is null
), known as materialized (
    select fingerprint from print where fingerprint is not null limit $13
), cap as (
    select greatest(100, $14::bigint / greatest(1, count(*))) as rows from known
)
select k.fingerprint, newest.channel, newest.cause, counted.count, (select rows from cap) as counted_max,
    counted.first_died_at, newest.died_at as last_died_at, newest.reason as sample_reason,
    newest.message_id as sample_message_id
from known k
cross join lateral (
    select l.channel, l.cause, l.reason, l.message_id, l.died_at
    from (select * from postroom.dead_letter d
        where d.fingerprint = k.fingerprint
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        order by d.died_at desc limit (select rows from cap)) l
    where ($1::text[] is null or l.channel = any ($1)) and ($2::text is null or l.cause = $2)
        and ($4::text is null or l.tenant = $4) and ($6::text is null or l.destination = $6)
        and ($5::text is null or (select m.type from postroom.message m where m.id = l.message_id) = $5)
        and ($9::uuid[] is null or l.message_id = any ($9)) and ($10::text[] is null or l.code = any ($10))
        and ($11::text[] is null or l.tenant = any ($11))
    order by l.died_at desc limit 1
) newest
cross join lateral (
    select count(*) as count, coalesce(min(l.died_at), newest.died_at) as first_died_at
    from (select * from postroom.dead_letter d
        where d.fingerprint = k.fingerprint
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        order by d.died_at limit (select rows from cap)) l
    where ($1::text[] is null or l.channel = any ($1)) and ($2::text is null or l.cause = $2)
        and ($4::text is null or l.tenant = $4) and ($6::text is null or l.destination = $6)
        and ($5::text is null or (select m.type from postroom.message m where m.id = l.message_id) = $5)
        and ($9::uuid[] is null or l.message_id = any ($9)) and ($10::text[] is null or l.code = any ($10))
        and ($11::text[] is null or l.tenant = any ($11))
) counted
where $3::text is null or k.fingerprint = $3
order by counted.count desc, newest.died_at desc
limit $12
