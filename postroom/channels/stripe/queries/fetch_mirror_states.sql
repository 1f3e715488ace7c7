-- How events stand, in order: each one's own state, and what the mirror has of its object. No row for one that
-- never came in. $1 accounts, $2 event ids, $3 object ids, each null where the event has none
select i.nr, e.message_id, e.effects, o.as_of, o.event_id as mirrored_event_id, o.fetched
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i(account, event_id, object_id, nr)
join postroom.stripe_event e on e.account = i.account and e.event_id = i.event_id
left join postroom.stripe_object o on o.account = i.account and o.object_id = i.object_id
