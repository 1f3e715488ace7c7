-- Count an opening of a breaker whose openings are exported. $1 label, $2 shard
insert into postroom.tally as t (name, label, shard, value) values ('circuit_open', $1, $2, 1)
on conflict (name, label, shard) do update set value = t.value + 1
