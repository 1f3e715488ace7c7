-- Where the letters of a replay would go, the most first; the first $12 that match are counted.
-- $1 … $11 as in outbox/queries/replay_letters, $13 limit
select matched.channel, matched.destination, count(*) as count, e.url, e.state as endpoint_state, c.state as circuit_state
from (
    select d.channel, d.destination, d.endpoint_id
    from postroom.dead_letter d
    join postroom.message m on m.id = d.message_id
    where ($1::text is null or d.channel = $1) and ($2::text is null or d.cause = $2)
        and ($3::text is null or d.fingerprint = $3) and ($4::text is null or m.tenant = $4)
        and ($5::text is null or m.type = $5) and ($6::text is null or d.destination = $6)
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
        and (not $11::boolean or d.channel <> 'stripe')
    limit $12
) matched
left join postroom.endpoint e on e.id = matched.endpoint_id
left join postroom.circuit c on c.name = coalesce(nullif(matched.destination, ''), matched.channel)
group by matched.channel, matched.destination, e.url, e.state, c.state
order by count desc, matched.destination
limit $13
