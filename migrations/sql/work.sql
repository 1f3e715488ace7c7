-- Workers, jobs, sleepers, circuits.

create sequence postroom.worker_id;

create table postroom.worker (
    id bigint primary key default nextval('postroom.worker_id'),
    host text not null,
    pid integer not null,
    role text not null,
    version text not null,
    started_at timestamptz not null default now(),
    beat_at timestamptz not null default now()
) with (fillfactor = 50);

-- Who sleeps on which channel; a publisher notifies only when a row is here.
create unlogged table postroom.sleeper (
    channel text not null,
    worker bigint not null,
    primary key (channel, worker)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 50);

create table postroom.job (
    name text primary key,
    every_s double precision,
    beat_at timestamptz,
    started_at timestamptz,
    succeeded_at timestamptz,
    failed_at timestamptz,
    failures integer not null default 0 check (failures >= 0),
    last_error text,
    next_run_at timestamptz not null default now(),
    requested_at timestamptz,
    paused boolean not null default false,
    worker bigint,
    check ((worker is null) or (started_at is not null))
) with (fillfactor = 50);

create table postroom.job_run (
    id bigint generated always as identity primary key,
    job text not null,
    worker bigint,
    started_at timestamptz not null,
    ended_at timestamptz not null default now(),
    outcome text not null check (outcome in ('succeeded', 'failed')),
    work_count integer not null default 0,
    error text
);
create index job_run_job on postroom.job_run (job, id);

-- Breakers that are one truth for all processes. A destination without a row is closed.
create table postroom.circuit (
    name text primary key,
    state text not null check (state in ('closed', 'half_open', 'open')),
    forced boolean not null default false,
    reason text,
    openings integer not null default 0,
    opened_at timestamptz,
    retry_at timestamptz,
    probe_worker bigint,
    changed_at timestamptz not null default now(),
    check ((state = 'closed') = (retry_at is null) or forced),
    check (state <> 'half_open' or probe_worker is not null)
) with (fillfactor = 50);
insert into postroom.circuit (name, state) values ('stripe', 'closed'), ('email', 'closed');
