-- How far what Stripe has was compared with what came in, and how far the first load of all objects is. May be run again.

-- One row an account of the settings. `cursor_at`: of what Stripe created before, nothing is missing that was created
-- since `began_at`; null without an API key. `missed`: events that no webhook brought, ever. `usual_gap_s`: the longest
-- time without an event that was seen, halved every 14 days, while it was `watched_at` or later.
create table if not exists postroom.stripe_reconcile (
    account text primary key check (length(account) between 1 and 40),
    live boolean not null,
    began_at timestamptz not null,
    cursor_at timestamptz,
    run_at timestamptz,
    missed bigint not null default 0 check (missed >= 0),
    missed_at timestamptz,
    endpoint text not null default 'unknown' check (endpoint in ('enabled', 'disabled', 'missing', 'unknown')),
    endpoint_reason text,
    watched_at timestamptz not null default now(),
    looked_at timestamptz not null default now(),
    last_event_at timestamptz,
    usual_gap_s float8 not null default 0 check (usual_gap_s >= 0)
);

-- One row an account and type of object. `after`: the last object that was stored; null before the first page.
create table if not exists postroom.stripe_load (
    account text not null check (length(account) between 1 and 40),
    live boolean not null,
    type text not null,
    after text,
    objects bigint not null default 0 check (objects >= 0),
    began_at timestamptz not null default now(),
    ended_at timestamptz,
    left_out text,
    primary key (account, live, type)
);
