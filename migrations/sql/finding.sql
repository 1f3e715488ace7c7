-- What people look for is found along an index, page by page: a tenant's dead letters, all that belongs to one
-- chain, all events of one Stripe object.

-- The tenant of a letter's message, so that one tenant's letters are found without asking every message.
alter table postroom.dead_letter add column tenant text not null default '';

-- By a trigger, so that it is right whoever buries: also code that is older than the column, during an upgrade.
create function postroom.name_tenant() returns trigger
language plpgsql
as $$
begin
    new.tenant := coalesce((select m.tenant from postroom.message m where m.id = new.message_id), '');
    return new;
end
$$;
revoke all on function postroom.name_tenant from public;
create trigger name_tenant before insert on postroom.dead_letter
    for each row execute function postroom.name_tenant();

update postroom.dead_letter d set tenant = m.tenant
from postroom.message m
where m.id = d.message_id and m.tenant <> '';

create index dead_letter_tenant on postroom.dead_letter (tenant, channel, died_at, message_id, n) where tenant <> '';

drop index postroom.message_correlation;
create index message_correlation on postroom.message (correlation_id, id) where correlation_id is not null;
drop index postroom.stripe_event_object;
create index stripe_event_object on postroom.stripe_event (object_id, message_id) where object_id is not null;

-- An index entry has a size limit, and a publisher's transaction shall not fail by it: what is longer than any
-- address is left out. The adapter turns it down, where a person sees it.
drop index postroom.message_address;
create index message_address on postroom.message (lower(payload ->> 'to'), id)
    where channel = 'email' and jsonb_typeof(payload -> 'to') = 'string' and length(payload ->> 'to') <= 320;
