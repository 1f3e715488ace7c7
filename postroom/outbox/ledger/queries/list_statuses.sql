-- How each message stands: what needs a person most comes first. $1 message ids, $2 when they were published
select i.id, case
        when exists (select from postroom.dead_letter l where l.message_id = i.id) then 'dead'
        when exists (select from postroom.delivery d where d.message_id = i.id and d.due_at = 'infinity'
            and d.channel <> 'task') then 'parked'
        when exists (select from postroom.delivery d where d.message_id = i.id and d.due_at = 'infinity')
            then 'awaiting_batch'
        when exists (select from postroom.delivery d where d.message_id = i.id and d.state like 'retry%') then 'retry'
        when exists (select from postroom.delivery d where d.message_id = i.id) then 'pending'
        when (select m.deliveries from postroom.message m where m.id = i.id) = 0 then 'no_receiver'
        when (select a.outcome from postroom.attempt a where a.message_id = i.id
            and a.ended_at >= i.created_at order by a.ended_at desc limit 1) = 'cancelled' then 'cancelled'
        else 'delivered' end as status
from unnest($1::uuid[], $2::timestamptz[]) i (id, created_at)
