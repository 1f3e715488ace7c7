-- Note which letters a replay is to take, the oldest first, with what they died of.
-- $1 channel, $2 cause, $3 fingerprint, $4 tenant, $5 type, $6 destination, $7 died from, $8 died until,
-- $9 message ids, $10 codes, $11 outbound only, $12 at most, $13 run
with chosen as materialized (
    -- Channel by channel, the oldest first: so each has an index that ends at the limit.
    select l.*
    from unnest(case when $1::text is null then array['stripe', 'email', 'webhook', 'export'] else array[$1] end)
        as channel (name)
    cross join lateral (
        select d.* from postroom.dead_letter d
        where d.channel = channel.name and ($2::text is null or d.cause = $2)
            and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
            and ($5::text is null or exists (
                select from postroom.message m where m.id = d.message_id and m.type = $5))
            and ($6::text is null or d.destination = $6)
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
            and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
            and (not $11::boolean or d.channel <> 'stripe')
        order by d.died_at, d.message_id, d.n
        limit $12
        for update of d skip locked
    ) l
    order by l.died_at, l.message_id, l.n
    limit $12
), noted as (
    insert into postroom.replay_item
        (run_id, message_id, n, attempts, cause, fingerprint, reason, code, died_at)
    select $13, message_id, n, attempts, cause, fingerprint, reason, code, died_at from chosen
    returning 1
)
update postroom.replay_run set items = (select count(*) from noted) where id = $13 returning items
