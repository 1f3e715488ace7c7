-- Deliveries that have not ended and have a time, the longest due first; or those that have none, and wait for a person or a batch.
-- $1 channels, $2 states, $3 and $4 due_at and seq of the last one seen ($3 null: those without a time, by seq), $5 how many
-- to look at by channel and state, $6 tenant, $7 type, $8 from message id, $9 below message id; null means any.
-- $10 limit, $11 tenants. Every row says where the scan ended (end_…, null: it saw all); the only one that there is when
-- nothing fits has fits = false.
with scanned as materialized (
    select d.*
    from unnest($1::text[]) channel (name)
    cross join unnest($2::text[]) state (name)
    cross join lateral (
        select * from postroom.delivery w
        where w.channel = channel.name and w.state = state.name
            and (w.due_at, w.seq) > (coalesce($3::timestamptz, 'infinity'), $4::bigint)
            and w.due_at <= case when $3::timestamptz is null then 'infinity' else '9999-12-31'::timestamptz end
        order by w.due_at, w.seq
        limit $5
    ) d
), cut as (
    -- The channels and states of which there may be more; beyond the earliest of their ends the order would have gaps.
    select c.* from (select channel, state, count(*) as count from scanned group by channel, state) full_one
    cross join lateral (select due_at, seq from scanned s
        where s.channel = full_one.channel and s.state = full_one.state order by due_at desc, seq desc limit 1) c
    where full_one.count >= $5
    order by c.due_at, c.seq limit 1
)
select nullif(cut.due_at, 'infinity') as end_due_at, cut.seq as end_seq, d.id is not null as fits, d.*
from (select 1) one
left join cut on true
left join lateral (
    select s.message_id as id, s.n, s.seq, s.channel, s.destination, split_part(s.state, '_', 1) as state, s.attempts,
        nullif(s.due_at, 'infinity') as due_at, s.due_at = 'infinity' and s.channel <> 'task' as parked, s.worker, s.last_reason,
        m.type, m.tenant, m.key, m.created_at
    from scanned s
    join postroom.message m on m.id = s.message_id
    where ($6::text is null or m.tenant = $6)
        -- One at a time: a join might read all that these tenants have. A delivery of before knows no tenant.
        and ($11::text[] is null
            or (select whose.tenant from postroom.message whose where whose.id = s.message_id) = any ($11))
        and ($7::text is null or m.type = $7)
        and ($8::uuid is null or s.message_id >= $8) and ($9::uuid is null or s.message_id < $9)
        and (cut.seq is null or (s.due_at, s.seq) <= (cut.due_at, cut.seq))
    order by s.due_at, s.seq
    limit $10
) d on true
order by d.due_at, d.seq
