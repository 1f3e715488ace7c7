-- Whether something of these messages is to be sent, by now: who sends one again locks it first, and what empties it
-- has waited for that with an older view. $1 message ids
select exists (select from postroom.delivery d where d.message_id = any ($1::uuid[]))
    or exists (select from postroom.dead_letter l where l.message_id = any ($1::uuid[]))
    or exists (
        select from postroom.message m
        where m.id = any ($1::uuid[]) and m.channel = 'stripe'
            and postroom.payload_needed(m.channel, m.id, m.correlation_id))
