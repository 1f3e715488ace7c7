-- What Stripe sent, as it sent it, and a mirror of its objects.

-- One row an event. `raw` is the signed body, byte for byte; retention empties it.
-- `secret` is a fingerprint of the signing secret that matched, never the secret.
create table postroom.stripe_event (
    account text not null check (length(account) between 1 and 200),
    event_id text not null check (length(event_id) between 1 and 255),
    message_id uuid not null,
    source text not null check (source in ('webhook', 'backfill')),
    state text not null default 'received' check (state in ('received', 'processed', 'ignored', 'quarantined')),
    type text not null,
    object_type text,
    object_id text,
    api_version text,
    livemode boolean,
    thin boolean not null,
    event_created timestamptz not null,
    secret text,
    raw bytea,
    received_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (account, event_id),
    check ((source = 'webhook') = (secret is not null)),
    check (state not in ('processed', 'ignored') or settled_at is not null)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);
create unique index stripe_event_message on postroom.stripe_event (message_id);
create index stripe_event_object on postroom.stripe_event (object_id) where object_id is not null;
create index stripe_event_raw on postroom.stripe_event (received_at) where raw is not null;

-- The newest known state of each object. `as_of` is when Stripe had it in this state: the event's
-- `created` for a snapshot, the moment of the request for what was fetched.
-- `event_rank` orders events of one second: 0 created, 1 changed, 2 deleted.
create table postroom.stripe_object (
    account text not null,
    object_id text not null,
    type text not null,
    data jsonb not null,
    deleted boolean not null,
    as_of timestamptz not null,
    event_id text not null,
    event_rank smallint not null check (event_rank between 0 and 2),
    fetched boolean not null,
    updated_at timestamptz not null default now(),
    primary key (account, object_id)
) with (fillfactor = 70);
create index stripe_object_type on postroom.stripe_object (account, type);
