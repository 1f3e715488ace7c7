-- How events stand that came in as messages, in order: each one itself, and what the mirror has of its object.
-- No row for one that never came in, or goes by another message now. Each is looked up by itself: a plan that was
-- made while the tables were small would read all of them ever after.
-- $1 message ids, $2 object ids, each null where the event has none
select i.nr, e.account, e.effects, o.as_of, o.event_id as mirrored_event_id, o.fetched
from unnest($1::uuid[], $2::text[]) with ordinality as i(message_id, object_id, nr)
cross join lateral (
    select account, effects, livemode from postroom.stripe_event where message_id = i.message_id offset 0
) e
left join lateral (
    select as_of, event_id, fetched from postroom.stripe_object
    where account = e.account and object_id = i.object_id
        and (livemode = e.livemode or livemode is null or e.livemode is null)
    offset 0
) o on true
