-- What is known of the event that came in as a message. $1 message id
select account, event_id, livemode, api_version, state, effects
from postroom.stripe_event
where message_id = $1
