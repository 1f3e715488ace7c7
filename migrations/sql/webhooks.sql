-- Webhook endpoints of the operator's customers, and addresses never to write to.

create table postroom.endpoint (
    id uuid primary key default postroom.uuid7(),
    tenant text not null check (length(tenant) between 1 and 200),
    url text not null check (length(url) <= 2000),
    types text[] not null check (cardinality(types) between 1 and 100),
    description text not null default '',
    state text not null default 'enabled' check (state in ('enabled', 'parked')),
    parked_reason text,
    secret text not null,
    previous_secret text,
    previous_secret_until timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((previous_secret is null) = (previous_secret_until is null)),
    check ((state = 'parked') = (parked_reason is not null))
);
create index endpoint_tenant on postroom.endpoint (tenant);

-- Exact type, '*', or a prefix like 'invoice.*'.
create function postroom.type_matches(patterns text[], type text) returns boolean
language sql immutable parallel safe
as $$
    select type = any (patterns) or '*' = any (patterns) or exists (
        select from unnest(patterns) p where right(p, 2) = '.*' and starts_with(type, left(p, -1)))
$$;

create table postroom.suppression (
    address text primary key check (address = lower(address)),
    reason text not null,
    created_at timestamptz not null default now()
);

-- The deployment's own secret: signs webhooks to a url of the payload. Made at first use.
create table postroom.signing_secret (
    only_one boolean primary key default true check (only_one),
    secret text not null,
    previous_secret text,
    previous_secret_until timestamptz,
    created_at timestamptz not null default now(),
    check ((previous_secret is null) = (previous_secret_until is null))
);
