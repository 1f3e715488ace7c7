-- $1 endpoint, $2 batch size. Oldest first; what somebody else is releasing is left to them.
with waiting as (
    select message_id, n
    from postroom.delivery
    where endpoint_id = $1 and due_at = 'infinity' and worker is null
    order by seq
    limit $2::bigint
    for update skip locked
), released as (
    update postroom.delivery d
    set due_at = now(), since = now()
    from waiting w
    where d.message_id = w.message_id and d.n = w.n
    returning d.seq
)
select count(*) from released
