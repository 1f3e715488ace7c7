-- Everything that a text can name: an id, key, tenant, correlation, mail address, Stripe event or object.
-- $1 the text, $2 the same as UUID where it is one, $3 below this id or null, $4 limit,
-- $5 the text in lower case and what sealed payloads have in its place, $6 tenants and $7 channels that are reached (null:
-- all); where they are given, the newest 2,000 of each kind are looked at
with recursive account (name) as (
    (select account from postroom.stripe_event order by account limit 1)
    union all
    select (select e.account from postroom.stripe_event e where e.account > a.name order by e.account limit 1)
    from account a where a.name is not null
), bound as (
    select coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id,
        case when $6::text[] is null and $7::text[] is null then $4::bigint else 2000 end as rows
), found (id) as (
    (select m.id from postroom.message m where m.id = $2::uuid)
    union
    (select m.id from unnest(array['stripe', 'email', 'webhook', 'export', 'stripe_api', 'task']) channel (name)
     join postroom.message m on m.channel = channel.name and m.key = $1 and m.id < (select id from bound)
     order by m.id desc limit (select rows from bound))
    union
    (select m.id from postroom.message m
     where m.correlation_id = $1 and m.id < (select id from bound) order by m.id desc limit (select rows from bound))
    union
    (select m.id from postroom.message m
     where m.tenant = $1 and m.tenant <> '' and m.id < (select id from bound) order by m.id desc limit (select rows from bound))
    union
    (select sent.id from unnest($5::text[]) as asked (address)
     cross join lateral (select m.id from postroom.message m
        where m.channel = 'email' and jsonb_typeof(m.payload -> 'to') = 'string'
            and length(m.payload ->> 'to') <= 320
            and lower(m.payload ->> 'to') = asked.address and m.id < (select id from bound)
        order by m.id desc limit (select rows from bound)) as sent)
    union
    (select e.message_id from (select name from account where name is not null limit 100) a
     join postroom.stripe_event e on e.account = a.name and e.event_id = $1)
    union
    (select e.message_id from postroom.stripe_event e
     where e.object_id = $1 and e.message_id < (select id from bound) order by e.message_id desc limit (select rows from bound))
)
select m.id, m.channel, m.type, m.tenant, m.key, m.correlation_id, m.ordering_key, m.deliveries, m.created_at
from found f
join postroom.message m on m.id = f.id
where m.id < (select id from bound)
    and ($6::text[] is null or m.tenant = any ($6)) and ($7::text[] is null or m.channel = any ($7))
order by m.id desc
limit $4
