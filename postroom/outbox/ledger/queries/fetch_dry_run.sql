-- What a replay would take, by receiver, the most first, of the first $12 dead letters that may match.
-- $1 … $11 the filter, as in replay_dead_letters; $13 most receivers, $14 how many of the oldest as a sample
-- Each row also has an example, the sums `letters` and `receivers`, the sample, and `scanned`, which is $12 when
-- there may be more. When nothing matches there is one row without a channel.
with scanned as materialized (
    select d.message_id, d.n, d.channel, d.destination, d.endpoint_id, d.cause, d.reason, d.died_at
    from postroom.dead_letter d
    where ($1::text[] is null or d.channel = any ($1)) and ($2::text is null or d.cause = $2)
        and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
        and ($6::text is null or d.destination = $6)
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
        and ($11::text[] is null or d.tenant = any ($11))
    limit $12
), matched as materialized (
    select s.* from scanned s
    -- The messages are asked only where something of them is, one at a time: a join might read the whole ledger.
    where $5::text is null or (select m.type from postroom.message m where m.id = s.message_id) = $5
), by_receiver as (
    select channel, destination, endpoint_id, count(*) as count,
        (array_agg(message_id order by message_id))[1] as message_id,
        (array_agg(reason order by message_id))[1] as reason
    from matched
    group by channel, destination, endpoint_id
), most as (
    select r.*, sum(count) over ()::bigint as letters, count(*) over () as receivers
    from by_receiver r order by count desc, destination limit $13
)
select m.channel, m.destination, m.count, m.message_id, m.reason, m.letters, m.receivers, one.scanned,
    e.url, e.state as endpoint_state, c.state as circuit_state,
    array(select row(message_id, n, channel, destination, cause, reason, died_at) from matched
        order by died_at, message_id, n limit $14) as sample
from (select count(*) as scanned from scanned) one
left join most m on true
left join postroom.endpoint e on e.id = m.endpoint_id
-- One breaker for all mail, one for Stripe's API, else one a destination.
left join postroom.circuit c on c.name = case when m.channel in ('email', 'stripe') then m.channel
    when m.channel = 'stripe_api' then 'stripe'
    else m.channel || ':' || m.destination end
order by m.count desc, m.destination
