-- Publishing at most once in a while, or the last one only. May be run again.

-- A row a key that was published so. `message_id`: the last one of it; `until`: to when its window is open. The row is locked
-- until the publisher's transaction ends: publishers of one key follow each other. Retention removes what is over.
create table if not exists postroom.unique_key (
    channel text not null,
    tenant text not null check (length(tenant) <= 200),
    key text not null check (length(key) between 1 and 500),
    message_id uuid,
    until timestamptz not null,
    primary key (key, channel, tenant)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index if not exists unique_key_until on postroom.unique_key (until);

drop function if exists postroom.cancel_for_another(uuid);
-- Cancel what waits of a message, for a reason. Returns how many deliveries, and when the first of them was due.
-- What is claimed meanwhile is left alone: then it has not been replaced. It is counted in a row that no other open transaction
-- has: settling must never wait for a publisher.
create or replace function postroom.cancel_waiting(message_id uuid, why text, out count bigint, out due_at timestamptz)
language plpgsql
as $$
#variable_conflict use_column
declare
    own_shard smallint;
begin
    count := 0;
    if cancel_waiting.message_id is null then
        return;
    end if;
    own_shard := coalesce(
        (select shard from generate_series(16, 1039) shard where pg_try_advisory_xact_lock(7265, shard) limit 1),
        16 + pg_backend_pid() % 1024);
    with gone as (
        delete from postroom.delivery d where d.message_id = cancel_waiting.message_id and d.worker is null
        returning d.*
    ), logged as (
        insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, destination, endpoint_id)
        select g.message_id, g.n, g.channel, g.attempts, 'cancelled', why,
            postroom.logged_destination(g.channel, g.destination, g.endpoint_id), g.endpoint_id
        from gone g
    ), counted as (
        insert into postroom.tally as t (name, label, shard, value)
        select 'ended', g.channel || '/cancelled', own_shard, count(*) from gone g group by g.channel
        on conflict (name, label, shard) do update set value = t.value + excluded.value
    )
    select count(*), min(g.due_at) filter (where g.due_at < 'infinity') into count, due_at from gone g;
end
$$;

-- Publish one message of a key at most once in `unique_for_s` seconds, or, with `replace`, in place of one that still waits, or,
-- with `throttle_s`, one in so many seconds: the first at once, and at the end of each window the last of what came in it.
-- A key is its channel's and tenant's own, and not that of `publish`: it may be used again once its window is over.
-- Returns the id, and what has become of it: `published`; `replaced`, where one that waited is cancelled and this one has its place;
-- `skipped`, with the id of the one that was published. One that is claimed already is not replaced: a new one follows it.
-- Publishers of one key wait for each other until their transactions end: publish several keys in one order.
create or replace function postroom.publish_unique(
    channel text,
    payload jsonb,
    key text,
    unique_for_s double precision default null,
    replace boolean default false,
    throttle_s double precision default null,
    tenant text default null,
    type text default null,
    correlation_id text default null,
    ordering_key text default null,
    deliver_at timestamptz default null,
    traceparent text default null,
    expires_at timestamptz default null,
    urgency text default null
) returns table (id uuid, result text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own_tenant constant text := coalesce(publish_unique.tenant, postroom.short(publish_unique.payload ->> 'tenant'), '');
    about constant jsonb := jsonb_build_array(jsonb_build_object('channel', publish_unique.channel,
        'tenant', own_tenant, 'key', publish_unique.key, 'payload', '{}'::jsonb));
    known postroom.unique_key;
    gone record;
    moment timestamptz;
    due timestamptz := publish_unique.deliver_at;
begin
    if coalesce(publish_unique.key, '') = '' then
        raise invalid_parameter_value using message = 'publish_unique needs a key';
    end if;
    if num_nonnulls(unique_for_s, throttle_s) + (publish_unique.replace and throttle_s is null)::int = 0
        or num_nonnulls(unique_for_s, throttle_s) = 2 then
        raise invalid_parameter_value using message = 'publish_unique takes unique_for_s, replace or both, or throttle_s';
    end if;
    if coalesce(unique_for_s, throttle_s) not between 0.001 and 31536000 then
        raise invalid_parameter_value using message = 'unique_for_s and throttle_s are between 0.001 and 31536000';
    end if;
    if throttle_s is not null and publish_unique.deliver_at is not null then
        raise invalid_parameter_value using message = 'deliver_at is what throttle_s decides';
    end if;
    -- What is skipped is not published: what publishing refuses is refused here, too.
    perform postroom.known_channel(publish_unique.channel);
    perform postroom.check_reserved() where publish_unique.channel = 'stripe';
    perform postroom.check_publisher(about) from postroom.publisher_limit l where l.role = session_user;
    perform postroom.check_tenants(about);

    insert into postroom.unique_key as u (channel, tenant, key, until)
    values (publish_unique.channel, own_tenant, publish_unique.key, '-infinity')
    on conflict (key, channel, tenant) do update set until = u.until
    returning u.* into known;
    moment := clock_timestamp(); -- once it is this one's turn
    select * into gone from postroom.cancel_waiting(
        case when publish_unique.replace or throttle_s is not null then known.message_id end,
        'a later one of its key takes its place');
    if gone.count = 0 and unique_for_s is not null and known.until > moment then
        return query select known.message_id, 'skipped';
        return;
    end if;

    if gone.count > 0 then
        due := coalesce(due, nullif(greatest(gone.due_at, now()), now()));
    elsif throttle_s is not null and known.until > moment then
        due := known.until;
    end if;
    known.message_id := postroom.publish(publish_unique.channel, publish_unique.payload, null, publish_unique.tenant,
        publish_unique.type, publish_unique.correlation_id, publish_unique.ordering_key, due,
        publish_unique.traceparent, publish_unique.expires_at, publish_unique.urgency);
    if gone.count > 0 and publish_unique.deliver_at is null and gone.due_at < now() then
        -- It has waited for its turn already.
        update postroom.delivery d set due_at = gone.due_at
        where d.message_id = known.message_id and d.due_at <= now();
    end if;
    update postroom.unique_key u
    set message_id = known.message_id,
        until = case when gone.count > 0 then u.until
            else greatest(moment, case when throttle_s is not null then u.until end)
                + make_interval(secs => coalesce(unique_for_s, throttle_s, 0)) end
    where u.key = publish_unique.key and u.channel = publish_unique.channel and u.tenant = own_tenant;
    return query select known.message_id, case when gone.count > 0 then 'replaced' else 'published' end;
end
$$;
revoke all on function postroom.cancel_waiting(uuid, text) from public;
revoke all on function postroom.publish_unique(text, jsonb, text, double precision, boolean, double precision, text, text,
    text, text, timestamptz, text, timestamptz, text) from public;
