-- What has not ended and has a time, the longest due first.
-- $1 channels, $2 states, $3 and $4 due_at and seq of the last one seen, $5 how many to look at by channel
-- and state, $6 tenant, $7 type, $8 limit, $9 from message id, $10 below message id. Every row says where the look ended (end_…, null: it saw all);
-- the only one that there is when nothing fits has fits = false.
with looked as materialized (
    select d.*
    from unnest($1::text[]) channel (name)
    cross join unnest($2::text[]) state (name)
    cross join lateral (
        select * from postroom.delivery w
        where w.channel = channel.name and w.state = state.name
            and (w.due_at, w.seq) > ($3::timestamptz, $4::bigint) and w.due_at < 'infinity'
        order by w.due_at, w.seq
        limit $5
    ) d
), cut as (
    select c.* from (select channel, state, count(*) as count from looked group by channel, state) full_one
    cross join lateral (select due_at, seq from looked l
        where l.channel = full_one.channel and l.state = full_one.state order by due_at desc, seq desc limit 1) c
    where full_one.count >= $5
    order by c.due_at, c.seq limit 1
)
select nullif(cut.due_at, 'infinity') as end_due_at, cut.seq as end_seq, d.id is not null as fits, d.*
from (select 1) one
left join cut on true
left join lateral (
    select d.message_id as id, d.n, d.seq, d.channel, d.destination, d.state, d.attempts,
        nullif(d.due_at, 'infinity') as due_at, d.last_reason, d.worker, m.type, m.tenant, m.key, m.created_at
    from looked d
    join postroom.message m on m.id = d.message_id
    where ($6::text is null or m.tenant = $6) and ($7::text is null or m.type = $7)
        and ($9::uuid is null or d.message_id >= $9) and ($10::uuid is null or d.message_id < $10)
        and (cut.seq is null or (d.due_at, d.seq) <= (cut.due_at, cut.seq))
    order by d.due_at, d.seq
    limit $8
) d on true
order by d.due_at, d.seq
