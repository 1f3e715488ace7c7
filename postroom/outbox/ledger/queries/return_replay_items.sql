-- Put letters of a replay back that nobody has tried yet: dead again, of what they died of before.
-- $1 run, $2 the state of the items from now on, $3 who asks. Returns how many.
-- An item is found again by its place in the table, as in release_replay_items.
with untried as materialized (
    select d.message_id, d.n, i.ctid as item, i.attempts as tried, i.cause, i.fingerprint, i.reason, i.code, i.died_at
    from postroom.replay_item i
    join postroom.delivery d on d.message_id = i.message_id and d.n = i.n
    where i.run_id = $1 and i.state = 'released' and d.worker is null and d.attempts = 0
    for update of d skip locked
), gone as (
    delete from postroom.delivery d using untried u
    where d.message_id = u.message_id and d.n = u.n and d.worker is null
    returning d.*, u.item, u.tried, u.cause, u.fingerprint, u.reason, u.code, u.died_at
), marked as (
    update postroom.replay_item i set state = $2
    from gone g where i.ctid = g.item
), buried as (
    insert into postroom.dead_letter (message_id, n, seq, channel, destination, endpoint_id, ordering_key,
        attempts, cause, fingerprint, reason, code, died_at, urgency, content_hash)
    select g.message_id, g.n, g.seq, g.channel, g.destination, g.endpoint_id, g.ordering_key,
        g.tried, g.cause, g.fingerprint, g.reason, g.code, g.died_at, nullif(split_part(g.state, '_', 2), ''),
        g.content_hash
    from gone g
), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
    select g.message_id, g.n, g.channel, 0, 'cancelled', 'its replay was taken back by ' || $3,
        postroom.logged_destination(g.channel, g.destination, g.endpoint_id), g.endpoint_id
    from gone g
)
select count(*) from gone
