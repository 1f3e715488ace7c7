-- Count something in the caller's transaction. $1 name, $2 label, $3 shard, $4 how many
insert into postroom.tally as t (name, label, shard, value) values ($1, $2, $3, $4)
on conflict (name, label, shard) do update set value = t.value + excluded.value
