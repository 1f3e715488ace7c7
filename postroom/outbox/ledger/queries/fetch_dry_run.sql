-- What a replay would take, by receiver, the most first, of the first $12 letters that may match.
-- $1 … $11 as in outbox/queries/replay_letters, $13 most receivers
-- Each row also has an example, the sums `total` and `receivers`, and `scanned`, which is $12 when there may be
-- more. When nothing matches there is one row without a channel.
with scanned as materialized (
    select d.message_id, d.channel, d.destination, d.endpoint_id, d.reason
    from postroom.dead_letter d
    where ($1::text is null or d.channel = $1) and ($2::text is null or d.cause = $2)
        and ($3::text is null or d.fingerprint = $3) and ($6::text is null or d.destination = $6)
        and ($4::text is null or d.tenant = $4)
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
        and (not $11::boolean or d.channel <> 'stripe')
    limit $12
), matched as (
    select l.channel, l.destination, l.endpoint_id, count(*) as count,
        (array_agg(l.message_id order by l.message_id))[1] as message_id,
        (array_agg(l.reason order by l.message_id))[1] as reason
    from scanned l
    -- The messages are asked only where something of them is.
    where $5::text is null or exists (select from postroom.message m where m.id = l.message_id and m.type = $5)
    group by l.channel, l.destination, l.endpoint_id
), most as (
    select matched.*, sum(count) over ()::bigint as total, count(*) over () as receivers
    from matched order by count desc, destination limit $13
)
select m.channel, m.destination, m.count, m.message_id, m.reason, m.total, m.receivers, l.scanned,
    e.url, e.state as endpoint_state, c.state as circuit_state
from (select count(*) as scanned from scanned) l
left join most m on true
left join postroom.endpoint e on e.id = m.endpoint_id
-- The engine's names: one breaker for all mail, one for Stripe, else one a destination.
left join postroom.circuit c on c.name = case when m.channel in ('email', 'stripe') then m.channel
    else m.channel || ':' || m.destination end
order by m.count desc, m.destination
