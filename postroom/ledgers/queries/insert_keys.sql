-- Keys that came with their tenant: messages as retention leaves them, without deliveries.
-- $1 tenant, $2 who is to be named as their publisher, $3 ids, $4 channels, $5 types, $6 keys, $7 times of publishing
insert into postroom.message (id, channel, type, tenant, key, payload, deliveries, created_at, published_by)
select k.id, k.channel, k.type, $1, k.key, '{}', 0, k.created_at, $2
from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) k (id, channel, type, key, created_at)
on conflict do nothing
