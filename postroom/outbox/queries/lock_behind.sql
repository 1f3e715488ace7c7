-- What waits for its first attempt behind a position, as far as nobody has it, it waits for no other one and has no age of its
-- own: locked until the transaction ends, not claimed. Nothing while limits or a pause concern the channel.
-- $1 channel, $2 state, $3 and $4 due_at (epoch seconds) and seq of the position, $5 at most
select d.message_id, d.n, d.claim_no, date_part('epoch', d.due_at) as due_s, d.seq
from postroom.delivery d
where d.channel = $1 and d.state = $2 and d.worker is null
    and d.due_at <= now() and (d.due_at, d.seq) > (to_timestamp($3), $4)
    and d.ordering_key is null and d.expires_at is null and d.since is null and d.started_no is null
    and not exists (select from postroom.delivery_limit l where l.channel = $1)
    and not exists (select from postroom.channel_pause p where p.channel = $1)
order by d.due_at, d.seq
limit $5
for update of d skip locked
