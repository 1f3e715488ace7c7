-- How events stand that came in as messages, in order: each one itself, and what the mirror has of its object.
-- No row for one that never came in, or goes by another message now. $1 message ids, $2 object ids, each null where
-- the event has none
select i.nr, e.account, e.effects, o.as_of, o.event_id as mirrored_event_id, o.fetched
from unnest($1::uuid[], $2::text[]) with ordinality as i(message_id, object_id, nr)
join postroom.stripe_event e on e.message_id = i.message_id
left join postroom.stripe_object o on o.account = e.account and o.object_id = i.object_id
    and (o.livemode = e.livemode or o.livemode is null or e.livemode is null)
