-- What became of mails after the mail server took them, as the providers' events tell it.
-- The foreign key needs a moment in which nobody has the messages; see hold.sql. May be run again.
select postroom.hold('postroom.message');
create table if not exists postroom.email_event (
    provider text not null check (length(provider) between 1 and 20),
    event_id bytea not null check (octet_length(event_id) = 16),
    message_id uuid not null references postroom.message on delete cascade,
    kind text not null check (kind in ('delivered', 'deferred', 'bounced', 'complained', 'unsubscribed')),
    permanent boolean not null,
    recipient text not null check (length(recipient) <= 320),
    reason text not null check (length(reason) <= 500),
    at timestamptz not null,
    primary key (provider, event_id)
);
create index if not exists email_event_message on postroom.email_event (message_id);
comment on column postroom.email_event.event_id is 'What the provider knows the event by, hashed: the same event is noted once.';
comment on column postroom.email_event.permanent is 'Whether the address is no good: what bounced so is suppressed.';
comment on column postroom.email_event.recipient is 'Masked; empty where the provider does not say whose event it is.';
