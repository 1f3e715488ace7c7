-- What a replay would take: the oldest of them, each row with the counts, which stop at a cap.
-- $1 … $11 as in replay_letters, $12 cap, $13 how many to show
with matched as materialized (
    select d.message_id, d.n, d.channel, d.destination, d.cause, d.reason, d.died_at
    from postroom.dead_letter d
    where ($1::text is null or d.channel = $1) and ($2::text is null or d.cause = $2)
        and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
        and ($5::text is null or exists (
            select from postroom.message m where m.id = d.message_id and m.type = $5))
        and ($6::text is null or d.destination = $6)
        and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
        and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
        and (not $11::boolean or d.channel <> 'stripe')
    limit $12
)
select message_id, n, channel, destination, cause, reason, died_at,
    (select count(*) from matched) as count, (select count(distinct destination) from matched) as destinations
from matched
order by died_at, message_id, n
limit $13
