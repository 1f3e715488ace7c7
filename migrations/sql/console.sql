-- The console: who is signed in, paced replays, what flowed in the last days, and what its searches need.

-- Only the hash of the cookie is kept. With `token_id` the session lives no longer than its token
-- and may what the token may; without (a sign-in link, OIDC) `scopes` says what it may.
create table postroom.console_session (
    hash bytea primary key check (length(hash) = 32),
    actor text not null check (length(actor) between 1 and 300),
    token_id uuid references postroom.token on delete cascade,
    scopes text[] not null default '{}',
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    check (token_id is null or scopes = '{}')
) with (fillfactor = 70);
create index console_session_actor on postroom.console_session (actor);
create index console_session_seen on postroom.console_session (seen_at);

-- A link that signs in once; development only.
create table postroom.sign_in_link (
    hash bytea primary key check (length(hash) = 32),
    scopes text[] not null check (cardinality(scopes) > 0),
    expires_at timestamptz not null
);

-- A replay of many, as a person asked for it. Whether it is over is told by its items' deliveries.
create table postroom.replay_run (
    id uuid primary key default postroom.uuid7(),
    actor text not null,
    wanted jsonb not null,
    pace_per_s double precision not null check (pace_per_s >= 0),
    state text not null default 'running' check (state in ('running', 'paused', 'undone')),
    items integer not null default 0 check (items >= 0),
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);

-- A letter of a replay, with what it died of, so that it can be put back untouched.
-- held: it lies in the dead-letter office; released: it is or was on its way; returned: undone.
create table postroom.replay_item (
    run_id uuid not null references postroom.replay_run on delete cascade,
    message_id uuid not null,
    n smallint not null,
    state text not null default 'held' check (state in ('held', 'released', 'returned')),
    attempts smallint not null,
    cause text not null,
    fingerprint text not null,
    reason text not null,
    code text,
    died_at timestamptz not null,
    primary key (run_id, message_id, n)
) with (fillfactor = 70);

-- What happened in each minute, sampled from the counters. `label` is published, a channel with an
-- outcome (email/delivered), or a level (level/open, level/dead, and level/dead/stripe of these), of which
-- the last of the minute stays.
create table postroom.flow (
    minute timestamptz not null,
    label text not null check (length(label) <= 60),
    value bigint not null check (value >= 0),
    primary key (minute, label)
);
create table postroom.flow_total (
    label text primary key,
    value bigint not null
) with (fillfactor = 50);

-- What support asks first: what went to this customer, what went to this address?
create index message_tenant on postroom.message (tenant, id) where tenant <> '';
create index message_address on postroom.message (lower(payload ->> 'to'), id)
    where channel = 'email' and jsonb_typeof(payload -> 'to') = 'string';
-- Few rows, so these cost nothing: counting by cause, and what died at one receiver.
create index dead_letter_cause on postroom.dead_letter (channel, cause, died_at);
create index dead_letter_destination on postroom.dead_letter (destination, died_at);
