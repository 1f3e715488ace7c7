-- Tokens (only the hash is kept) and the audit trail.

create table postroom.token (
    id uuid primary key default postroom.uuid7(),
    name text not null check (length(name) between 1 and 200),
    hash bytea not null unique check (length(hash) = 32),
    scopes text[] not null check (cardinality(scopes) > 0),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

create table postroom.audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    subject text not null default '',
    detail jsonb not null default '{}',
    request_id text
);
create index audit_at on postroom.audit (at);
