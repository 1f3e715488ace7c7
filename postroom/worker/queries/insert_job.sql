-- Make a job known. $1 name, $2 interval in seconds
insert into postroom.job as j (name, every_s) values ($1, $2)
on conflict (name) do update set every_s = excluded.every_s where j.every_s is distinct from excluded.every_s
