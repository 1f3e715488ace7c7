-- Make dead letters of what is missing and locked, so that it can be replayed; the walk goes on behind it. $1 endpoint,
-- $2 messages, $3 fingerprint, $4 reason, $5 run, $6 behind which message it goes on
with buried as (
    insert into postroom.dead_letter (message_id, n, seq, channel, destination, endpoint_id, ordering_key, attempts,
        cause, fingerprint, reason)
    select m.id, coalesce(greatest(
            (select max(d.n) from postroom.delivery d where d.message_id = m.id),
            (select max(l.n) from postroom.dead_letter l where l.message_id = m.id),
            (select max(a.n) from postroom.attempt a where a.message_id = m.id and a.ended_at >= m.created_at)) + 1, 0),
        nextval(pg_get_serial_sequence('postroom.delivery', 'seq')), 'webhook', $1::uuid::text, $1,
        queue.place, 0, 'passing', $3, $4
    from (select id from unnest($2::uuid[]) as id order by id) first
    join postroom.message m on m.id = first.id
    cross join lateral postroom.ordered_by(m.channel, m.tenant, m.ordering_key) queue
    returning message_id
), counted as (
    insert into postroom.tally as t (name, label, shard, value)
    select 'resent', 'webhook', 0, count(*) from buried having count(*) > 0
    on conflict (name, label, shard) do update set value = t.value + excluded.value
)
update postroom.replay_run set next_id = $6 where id = $5
