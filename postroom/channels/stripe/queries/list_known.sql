-- Which of these events have been received, and whether they have effects.
-- $1 account, $2 event ids
select event_id, effects from postroom.stripe_event where account = $1 and event_id = any ($2::text[])
