-- How an event stands: its own state, and what the mirror has of its object.
-- $1 account, $2 event id, $3 object id or null
select e.message_id, e.state, o.as_of, o.event_id as mirrored_event_id, o.fetched
from postroom.stripe_event e
left join postroom.stripe_object o on o.account = e.account and o.object_id = $3
where e.account = $1 and e.event_id = $2
