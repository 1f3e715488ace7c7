-- Payloads that refer to a Stripe event instead of repeating it.

-- What an event has caused: while something of it waits or is dead, it may need the event's payload.
create or replace function postroom.effects(channel text, message_id uuid, correlation_id text) returns setof uuid
language sql stable
as $$
    select e.id from postroom.message e
    where effects.channel = 'stripe' and e.id <> effects.message_id
        and e.correlation_id = coalesce(effects.correlation_id, effects.message_id::text)
$$;
revoke all on function postroom.effects(text, uuid, text) from public;
