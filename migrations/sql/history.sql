-- Payloads that were still needed when their time came: looked at once a day until they are not.
create table if not exists postroom.payload_kept (
    message_id uuid primary key,
    looked_at timestamptz not null default now()
);
create index if not exists payload_kept_looked_at on postroom.payload_kept (looked_at);

-- How far payloads have been emptied by code that keeps account of those it leaves. It begins anew: what was left behind
-- by code of before is found then, once.
alter table postroom.retention_mark
    add column if not exists swept_upto uuid not null default '00000000-0000-0000-0000-000000000000';

-- Whether something that has the payload of this message to send waits or is dead.
create or replace function postroom.payload_needed(channel text, message_id uuid, correlation_id text) returns boolean
language sql stable
as $$
    select exists (select from postroom.delivery d where d.message_id = payload_needed.message_id)
        or exists (select from postroom.dead_letter l where l.message_id = payload_needed.message_id)
        or exists (
            select from postroom.effects(payload_needed.channel, payload_needed.message_id, payload_needed.correlation_id) as e (id)
            where exists (select from postroom.delivery d where d.message_id = e.id)
                or exists (select from postroom.dead_letter l where l.message_id = e.id))
$$;
revoke all on function postroom.payload_needed(text, uuid, text) from public;
