-- What tokens and database roles may reach: tenants and channels; who made a token; sessions that can be named. May be run
-- again. All of these tables are small but the audit trail, which gets a column without a value.
select postroom.hold('postroom.audit', 'postroom.token', 'postroom.console_session', 'postroom.sign_in_link');

-- Null: all. `ancestors`: the token it was made with, that one's own, and so on, the nearest last.
alter table postroom.token
    add column if not exists tenants text[] check (cardinality(tenants) > 0),
    add column if not exists channels text[] check (cardinality(channels) > 0),
    add column if not exists ancestors uuid[] not null default '{}';

-- A token works as long as it and all that it descends from are neither revoked, nor expired, nor gone.
create or replace view postroom.living_token as
select t.id, t.name, t.hash, t.scopes, t.tenants, t.channels, t.ancestors, t.created_at, t.expires_at, t.revoked_at,
    t.last_used_at
from postroom.token t
where t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
    and not exists (
        select from unnest(t.ancestors) as ancestor (id)
        left join postroom.token a on a.id = ancestor.id
        where a.id is null or a.revoked_at is not null or a.expires_at <= now()
    );

-- Names of tokens are not unique. Entries of before have none.
alter table postroom.audit add column if not exists token_id uuid;

alter table postroom.console_session add column if not exists id uuid not null unique default postroom.uuid7();

-- What a login role may publish; null is all, and so is no row.
create table if not exists postroom.publisher_limit (
    role name primary key,
    tenants text[] check (cardinality(tenants) > 0),
    channels text[] check (cardinality(channels) > 0),
    changed_at timestamptz not null default now(),
    check (tenants is not null or channels is not null)
);

-- Errors: where one of these is beyond what the login role may publish. Whoever has no row may publish everything.
create or replace function postroom.check_publisher(messages jsonb) returns void
language plpgsql
as $$
declare
    beyond record;
begin
    select m ->> 'channel' as channel, whose.tenant into beyond
    from jsonb_array_elements(messages) m
    cross join lateral (
        select coalesce(m ->> 'tenant', postroom.short(m -> 'payload' ->> 'tenant'), '') as tenant
    ) whose
    join postroom.publisher_limit l on l.role = session_user
    where m ->> 'channel' <> all (l.channels) or whose.tenant <> all (l.tenants)
    limit 1;
    if found then
        raise insufficient_privilege using
            message = format('%s may not publish on the channel %s for the tenant %L', session_user, beyond.channel, beyond.tenant),
            hint = 'postroom publisher list';
    end if;
end
$$;

-- For people and reports, without hashes and details; see reading.sql.
create or replace view postroom.token_view as
select id, name, scopes, created_at, expires_at, revoked_at, last_used_at, tenants, channels, ancestors
from postroom.token;

create or replace view postroom.audit_view as
select id, at, actor, action, subject, request_id, token_id
from postroom.audit;
