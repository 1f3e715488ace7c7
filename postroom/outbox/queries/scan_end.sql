-- How far a look at the next $6 deliveries that are due reaches, of each kind, and how many there are.
-- $1 channel, $2 and $3 due_at (epoch seconds) and seq behind which first attempts are looked at, $4 and $5 the same for retries,
-- $6 how many to look at, $7 and $8 the states of the lane
with fresh as materialized (
    select due_at, seq from postroom.delivery
    where channel = $1 and state = $7 and worker is null and due_at <= now() and (due_at, seq) > (to_timestamp($2), $3)
    order by due_at, seq limit $6
), again as materialized (
    select due_at, seq from postroom.delivery
    where channel = $1 and state = $8 and worker is null and due_at <= now() and (due_at, seq) > (to_timestamp($4), $5)
    order by due_at, seq limit $6
), last_fresh as (
    select due_at, seq from fresh order by due_at desc, seq desc limit 1
), last_again as (
    select due_at, seq from again order by due_at desc, seq desc limit 1
)
select coalesce((select date_part('epoch', due_at) from last_fresh), $2) as first_due_s,
    coalesce((select seq from last_fresh), $3) as first_seq,
    coalesce((select date_part('epoch', due_at) from last_again), $4) as retry_due_s,
    coalesce((select seq from last_again), $5) as retry_seq,
    greatest((select count(*) from fresh), (select count(*) from again)) as seen
