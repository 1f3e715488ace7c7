-- The limit for this, which is set if there is none. $1 channel, $2 tenant, $3 destination, $4 a second, $5 why, $6 who.
-- The update changes nothing: it returns the row that is there, also one that was just committed.
insert into postroom.delivery_limit (channel, tenant, destination, per_second, reason, set_by)
values ($1, $2, $3, $4, $5, $6)
on conflict (channel, coalesce(tenant, ''), coalesce(destination, '')) do update set channel = excluded.channel
returning id
