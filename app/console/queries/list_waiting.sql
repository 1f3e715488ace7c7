-- What has not ended and has a time, the longest due first.
-- $1 channels, $2 states, $3 and $4 due_at and seq of the last one seen, $5 how many to look at by channel
-- and state, $6 tenant, $7 type, $8 limit
select d.message_id as id, d.n, d.seq, d.channel, d.destination, d.state, d.attempts, d.due_at, d.last_reason,
    d.worker, m.type, m.tenant, m.key, m.created_at
from unnest($1::text[]) channel (name)
cross join unnest($2::text[]) state (name)
cross join lateral (
    select * from postroom.delivery w
    where w.channel = channel.name and w.state = state.name
        and (w.due_at, w.seq) > ($3::timestamptz, $4::bigint) and w.due_at < 'infinity'
    order by w.due_at, w.seq
    limit $5
) d
join postroom.message m on m.id = d.message_id
where ($6::text is null or m.tenant = $6) and ($7::text is null or m.type = $7)
order by d.due_at, d.seq
limit $8
