-- What belongs together: the message that caused this one, its other effects, and its own; the first by id.
-- $1 message id, $2 its correlation id or null, $3 the same as UUID where it is one, $4 limit, $5 tenants and
-- $6 channels that are reached (null: all); where they are given, the first 2,000 are looked at.
with bound as (
    select case when $5::text[] is null and $6::text[] is null then $4::bigint else 2000 end as rows
), belonging (id) as (
    (select m.id from postroom.message m
     where m.correlation_id = $2 and m.id <> $1 order by m.id limit (select rows from bound))
    union
    (select m.id from postroom.message m
     where m.correlation_id = $1::text and m.id <> $1 order by m.id limit (select rows from bound))
    union
    (select m.id from postroom.message m where m.id = $3 and m.id <> $1)
)
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from belonging b
join postroom.message m on m.id = b.id
where ($5::text[] is null or m.tenant = any ($5)) and ($6::text[] is null or m.channel = any ($6))
order by m.id
limit $4
