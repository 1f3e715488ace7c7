-- Which of these events have been received, and whether they have effects; of what came to the ledger from which its owner has moved,
-- there is the key.
-- $1 account, $2 event ids
select event_id, effects from postroom.stripe_event where account = $1 and event_id = any ($2::text[])
union all
select named.event_id, named.effects
from (
    select event_id, $1 || ':' || event_id || suffix as key, suffix = '' as effects
    from unnest($2::text[]) event_id cross join (values (':mirrored'), ('')) kind (suffix)
) named
join postroom.message m on m.key = named.key and m.channel = 'stripe'
    and (case when m.channel = 'stripe' or m.key like 'stripe:%' then '' else m.tenant end) = '' and m.deliveries = 0
order by effects
