-- Bring dead letters back to life: due at once, or spread at a pace. Attempts start anew; the ids stay.
-- Two replays at once cannot both take a letter.
-- $1 channel, $2 cause, $3 fingerprint, $4 tenant, $5 type, $6 destination, $7 died from, $8 died until,
-- $9 message ids, $10 codes, $11 outbound only, $12 at most, $13 letters a second (0: all at once),
-- $14 most replays a letter may have had (null: any), $15 who asks, $16 seconds until the first is due
with chosen as materialized (
    -- Channel by channel, the oldest first: so each has an index that ends at the limit.
    select l.*
    from unnest(case when $1::text is null then array['stripe', 'email', 'webhook', 'export'] else array[$1] end)
        as channel (name)
    cross join lateral (
        select d.message_id, d.n, d.died_at from postroom.dead_letter d
        where d.channel = channel.name and ($2::text is null or d.cause = $2)
            and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
            and ($5::text is null or exists (
                select from postroom.message m where m.id = d.message_id and m.type = $5))
            and ($6::text is null or d.destination = $6)
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
            and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
            and (not $11::boolean or d.channel <> 'stripe')
            and ($14::integer is null or $14 > (
                select count(*) from postroom.attempt a
                where a.message_id = d.message_id and a.n = d.n and a.outcome = 'replayed'))
        order by d.died_at, d.message_id, d.n
        limit $12
        for update of d skip locked
    ) l
    order by l.died_at, l.message_id, l.n
    limit $12
), taken as (
    delete from postroom.dead_letter d using chosen c
    where d.message_id = c.message_id and d.n = c.n
    returning d.*
), revived as (
    insert into postroom.delivery
        (message_id, n, seq, channel, destination, endpoint_id, ordering_key, due_at, last_reason)
    select t.message_id, t.n, t.seq, t.channel, t.destination, t.endpoint_id, t.ordering_key,
        now() + make_interval(secs => $16) + case when $13::float8 > 0
            then make_interval(secs => (row_number() over (order by t.died_at, t.seq) - 1) / $13) else interval '0' end,
        t.reason
    from taken t
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason)
    select message_id, n, channel, attempts, 'replayed', 'replayed by ' || $15 from taken
)
select channel, count(*) as count from taken group by channel
