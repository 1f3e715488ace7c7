-- Bring dead letters back to life: due at once, or spread at a pace. Attempts start anew, and for a person's replay the
-- age; the ids stay.
-- Two replays at once cannot both take a letter.
-- Every statement that takes the filter of dead letters has it first, and in this order; null means any:
-- $1 channels, $2 cause, $3 fingerprint, $4 tenant, $5 type, $6 destination, $7 died since, $8 died before,
-- $9 message ids, $10 codes, $11 tenants.
-- $12 at most, $13 who asks, $14 letters a second (0: all at once), $15 seconds until the first is due,
-- $16 most replays a letter may have had, for one that nobody asked for (null: a person has, and any will do), $17 what a person asked for, as JSON text: then it is a run,
-- which can be paused and taken back, $18 a run that there is, which they join, $19 whether their content is made anew. Returns how many by channel, with the run.
with chosen as materialized (
    -- Channel by channel, the oldest first: so each has an index that ends at the limit.
    select l.*
    from unnest(coalesce($1::text[], array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task'])) as channel (name)
    cross join lateral (
        select d.message_id, d.n, d.died_at from postroom.dead_letter d
        where d.channel = channel.name and ($2::text is null or d.cause = $2)
            and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
            and ($5::text is null or (select m.type from postroom.message m where m.id = d.message_id) = $5)
            and ($6::text is null or d.destination = $6)
            and ($7::timestamptz is null or d.died_at >= $7) and ($8::timestamptz is null or d.died_at < $8)
            and ($9::uuid[] is null or d.message_id = any ($9)) and ($10::text[] is null or d.code = any ($10))
            and ($11::text[] is null or d.tenant = any ($11))
            and ($16::integer is null or $16 > (
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
        (message_id, n, seq, channel, destination, endpoint_id, ordering_key, state, due_at, since, expires_at, last_reason,
        tenant, content_hash)
    select t.message_id, t.n, t.seq, t.channel, t.destination, t.endpoint_id, t.ordering_key,
        postroom.first_state(t.urgency), t.due_at,
        case when $16::integer is null then t.due_at else t.since end,
        case when $16::integer is not null then t.expires_at end, t.reason, t.tenant,
        case when not $19::boolean then t.content_hash end
    from (
        select taken.*, now() + make_interval(secs => $15) + case when $14::float8 > 0
            then make_interval(secs => (row_number() over (order by died_at, message_id, n) - 1) / $14)
            else interval '0' end as due_at
        from taken
    ) t
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts, 'replayed', 'replayed by ' || $13,
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from taken
), run as (
    insert into postroom.replay_run (actor, wanted, pace_per_s, items)
    select $13, $17::text::jsonb, $14, count(*) from taken having $17 is not null and count(*) > 0
    returning id
), joined as (
    update postroom.replay_run set items = items + (select count(*) from taken) where id = $18::uuid
    returning id
), noted as (
    insert into postroom.replay_item
        (run_id, message_id, n, state, attempts, cause, fingerprint, reason, code, died_at)
    select run.id, t.message_id, t.n, 'released', t.attempts, t.cause, t.fingerprint, t.reason, t.code, t.died_at
    from (select id from run union all select id from joined) run, taken t
)
select channel, count(*) as count, (select id from run) as run_id from taken group by channel
