-- Where a look at the next deliveries that are older than the smallest of the limits ends; nothing where none is.
-- $1 the smallest limit in seconds, $2 behind this id, $3 how many to look at
select message_id from (
    select message_id from postroom.delivery
    where message_id > $2 and message_id < postroom.first_id_at(now() - make_interval(secs => $1))
    order by message_id limit $3
) next
order by message_id desc limit 1
