-- Make dead letters of what was delivered of a message, so that it can be replayed: for each receiver that has it a
-- delivery with a number of its own. What waits or is dead is left to that; a deleted or disabled endpoint gets nothing.
-- The caller has locked the message. $1 message id, $2 when it was published, $3 only this endpoint (null: all),
-- $4 fingerprint, $5 reason. Returns how many.
with had as (
    select distinct on (a.channel, a.endpoint_id, destination) a.channel, a.endpoint_id,
        postroom.shown_destination(a.channel, a.destination, a.endpoint_id) as destination, a.content_hash
    from postroom.attempt a
    where a.message_id = $1 and a.ended_at >= $2 and a.outcome = 'delivered'
    order by a.channel, a.endpoint_id, destination, a.ended_at desc
), open as (
    select n, destination from postroom.delivery where message_id = $1
    union all
    select n, destination from postroom.dead_letter where message_id = $1
), numbered as (
    select greatest(
        (select max(n) from open),
        (select max(n) from postroom.attempt where message_id = $1 and ended_at >= $2)) as n
), again as (
    select h.channel, h.destination, h.endpoint_id, h.content_hash, row_number() over (order by h.destination) as place
    from had h
    where h.destination is not null and ($3::uuid is null or h.endpoint_id = $3)
        and h.destination not in (select destination from open)
        and (h.endpoint_id is null
            or exists (select from postroom.endpoint e where e.id = h.endpoint_id and e.disabled_at is null))
), buried as (
    insert into postroom.dead_letter (message_id, n, seq, channel, destination, endpoint_id, ordering_key, attempts,
        cause, fingerprint, reason, content_hash)
    select m.id, numbered.n + a.place, nextval(pg_get_serial_sequence('postroom.delivery', 'seq')), a.channel,
        a.destination, a.endpoint_id, queue.place, 0, 'passing', $4, $5,
        a.content_hash
    from again a, numbered, postroom.message m
    cross join lateral postroom.ordered_by(m.channel, m.tenant, m.ordering_key) queue
    where m.id = $1
    returning channel
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'resent', channel, 0, count(*) from buried group by channel
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
select count(*) from buried
