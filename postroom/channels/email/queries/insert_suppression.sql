-- Never mail this address again. $1 address in lower case, $2 reason
insert into postroom.suppression (address, reason) values ($1, $2)
on conflict (address) do update set reason = excluded.reason
returning address, reason, created_at
