-- Bring the held letters of a replay back to life, spread at its pace from now on. Attempts and age start anew.
-- $1 run, $2 who asks. Returns how many by channel.
-- An item is found again by its place in the table: of a run just begun PostgreSQL expects one row, and would
-- compare every item with every letter.
with run as (
    select pace_per_s from postroom.replay_run where id = $1
), held as materialized (
    select ctid as item, message_id, n, row_number() over (order by died_at, message_id, n) - 1 as place
    from postroom.replay_item where run_id = $1 and state = 'held'
), taken as (
    delete from postroom.dead_letter d using held h
    where d.message_id = h.message_id and d.n = h.n
    returning d.*, h.place, h.item
), revived as (
    insert into postroom.delivery
        (message_id, n, seq, channel, destination, endpoint_id, ordering_key, state, due_at, since, last_reason,
        tenant, content_hash)
    select t.message_id, t.n, t.seq, t.channel, t.destination, t.endpoint_id, t.ordering_key,
        postroom.first_state(t.urgency), t.due_at, t.due_at, t.reason, t.tenant, t.content_hash
    from (
        select taken.*,
            now() + case when r.pace_per_s > 0 then make_interval(secs => place / r.pace_per_s) else interval '0' end
                as due_at
        from taken, run r
    ) t
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select message_id, n, channel, attempts, 'replayed', 'replayed by ' || $2,
        postroom.logged_destination(channel, destination, endpoint_id), endpoint_id
    from taken
), marked as (
    update postroom.replay_item i set state = 'released'
    from taken t where i.ctid = t.item
)
select channel, count(*) as count from taken group by channel
