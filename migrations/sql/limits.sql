-- How much of a channel may go out, all runners together. May be run again.

-- A limit of a channel, of one tenant on it, or of one destination. Relays read all rows once a second.
-- `spent_to`: up to this moment, what `per_second` grants has been handed out.
-- `reached_at`: when somebody last wanted more than it left, within a few seconds.
create table if not exists postroom.delivery_limit (
    id bigint generated always as identity primary key,
    channel text not null check (channel in ('stripe', 'email', 'webhook', 'export')),
    tenant text check (tenant <> ''),
    destination text check (destination <> ''),
    per_second double precision check (per_second > 0),
    in_flight integer check (in_flight > 0),
    reason text not null,
    set_by text not null,
    set_at timestamptz not null default now(),
    spent_to timestamptz not null default now(),
    reached_at timestamptz,
    check (tenant is null or destination is null),
    check (per_second is not null or in_flight is not null)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
create unique index if not exists delivery_limit_of
    on postroom.delivery_limit (channel, coalesce(tenant, ''), coalesce(destination, ''));

-- How many deliveries a worker may have in flight under a limit, and how many it would like to. They return when its
-- row goes: when it leaves, or when it has died and everything that it held was taken over.
create table if not exists postroom.limit_place (
    limit_id bigint not null references postroom.delivery_limit on delete cascade,
    worker bigint not null references postroom.worker on delete cascade,
    held integer not null check (held >= 0),
    wanted integer not null default 0,
    primary key (limit_id, worker)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
create index if not exists limit_place_worker on postroom.limit_place (worker);
