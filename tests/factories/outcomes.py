"""What becomes of a delivery, written down without an engine."""

DELIVER = """
with gone as (delete from postroom.delivery where message_id = $1 returning *), logged as (
    insert into postroom.attempt (message_id, n, channel, attempt, outcome)
    select message_id, n, channel, 1, 'delivered' from gone)
insert into postroom.tally (name, label, shard, value)
select 'ended', 'email/delivered', 15, count(*) from gone
on conflict (name, label, shard) do update set value = postroom.tally.value + 1"""
