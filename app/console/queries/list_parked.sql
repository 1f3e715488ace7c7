-- What waits for a person, oldest first. Parameters as in list_waiting; $3 is not used.
select d.message_id as id, d.n, d.seq, d.channel, d.destination, d.state, d.attempts,
    null::timestamptz as due_at, d.last_reason, d.worker, m.type, m.tenant, m.key, m.created_at
from unnest($1::text[]) channel (name)
cross join unnest($2::text[]) state (name)
cross join lateral (
    select * from postroom.delivery w
    where w.channel = channel.name and w.state = state.name and w.due_at = 'infinity'::timestamptz and w.seq > $4
        and $3::timestamptz is not null
    order by w.seq
    limit $5
) d
join postroom.message m on m.id = d.message_id
where ($6::text is null or m.tenant = $6) and ($7::text is null or m.type = $7)
order by d.seq
limit $8
