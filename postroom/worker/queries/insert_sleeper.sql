-- Ask publishers of a channel to notify. $1 channel, $2 worker
insert into postroom.sleeper (channel, worker) values ($1, $2) on conflict do nothing
