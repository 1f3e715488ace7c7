-- Add to counters, in the order of their key. $1 names, $2 labels, $3 shard, $4 how many
insert into postroom.tally as t (name, label, shard, value)
select name, label, $3::smallint, value from unnest($1::text[], $2::text[], $4::bigint[]) grown (name, label, value)
order by name, label
on conflict (name, label, shard) do update set value = t.value + excluded.value
