-- Batches: what follows once all of one has ended. May be run again.
select postroom.hold('postroom.delivery');

-- Null for nearly all. A dead letter has none: it has ended, whatever a replay makes of it.
alter table postroom.delivery add column if not exists batch uuid;

-- One row a batch, by the message that follows it, which is published with it and waits at `infinity`. Counted are deliveries.
create table if not exists postroom.batch (
    message_id uuid primary key,
    size integer not null,
    delivered integer not null default 0,
    dead integer not null default 0,
    cancelled integer not null default 0,
    follows_on text not null check (follows_on in ('end', 'success')),
    check (delivered + dead + cancelled <= size)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Count what has ended of a batch, in the transaction that ends it; with the last one what follows is due, or is cancelled. Whoever ends
-- something of several calls it in the order of their ids, before it counts anything else, so that no two wait for each other.
-- Returns true.
create or replace function postroom.end_in_batch(batch uuid, delivered bigint, dead bigint, cancelled bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    now_is postroom.batch;
begin
    update postroom.batch b
    set delivered = b.delivered + end_in_batch.delivered, dead = b.dead + end_in_batch.dead,
        cancelled = b.cancelled + end_in_batch.cancelled
    where b.message_id = end_in_batch.batch
    returning b.* into now_is;
    if now_is.delivered + now_is.dead + now_is.cancelled = now_is.size then
        if now_is.follows_on = 'success' and now_is.delivered < now_is.size then
            perform postroom.cancel_waiting(now_is.message_id, 'not all of its batch was delivered');
        else
            update postroom.delivery d set due_at = now(), since = now(), last_reason = null
            where d.message_id = now_is.message_id and d.due_at = 'infinity' and d.worker is null;
            perform postroom.wake('task');
        end if;
    end if;
    return true;
end
$$;
revoke all on function postroom.end_in_batch(uuid, bigint, bigint, bigint) from public;

-- Publish a batch, and a task that runs once, when all deliveries of it have ended: `follow_on` is `end`, or `success`, where it is
-- cancelled unless all were delivered. `messages` as `publish_many` takes them, at least one; `followed_by` one of them, of the channel
-- `task`, without a key, a time or an order of its own. What is known already is no part of the batch; where all of it is, nothing
-- follows. A dead letter has ended: its replay is counted no more. Returns a row a message as `publish_many` does, with the id of what
-- follows, null where nothing does. Whatever has not ended when 30 days are over is waited for no longer.
create or replace function postroom.publish_batch(messages jsonb, followed_by jsonb, follow_on text default 'end')
returns table ("position" integer, id uuid, published boolean, batch uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    ids uuid[];
    new boolean[];
    follower uuid;
    count bigint;
begin
    if jsonb_typeof(messages) is distinct from 'array' or messages = '[]' then
        raise invalid_parameter_value using message = 'a batch is a JSON array of one message or more';
    end if;
    if follow_on not in ('end', 'success') or follow_on is null then
        raise invalid_parameter_value using
            message = format('follow_on is end or success, not %s', coalesce(quote_literal(follow_on), 'null'));
    end if;
    if jsonb_typeof(followed_by) is distinct from 'object' or followed_by ->> 'channel' is distinct from 'task'
        or coalesce(followed_by ->> 'key', followed_by ->> 'deliver_at', followed_by ->> 'ordering_key') is not null then
        raise invalid_parameter_value using
            message = 'what follows a batch is a task, without key, deliver_at and ordering_key';
    end if;
    select array_agg(m.id order by m."position"), array_agg(m.published order by m."position") into ids, new
    from postroom.publish_many(messages) m;
    if true = any (new) then
        select m.id into follower from postroom.publish_many(
            jsonb_build_array(followed_by || jsonb_build_object('key', 'batch:' || gen_random_uuid()))) m;
        update postroom.delivery d set batch = follower
        from unnest(ids, new) made (id, is_new) where made.is_new and d.message_id = made.id;
        get diagnostics count = row_count;
        update postroom.delivery d set due_at = 'infinity', last_reason = format('waits for a batch of %s', count)
        where d.message_id = follower;
        insert into postroom.batch (message_id, size, follows_on) values (follower, count, follow_on);
        if count = 0 then
            perform postroom.end_in_batch(follower, 0, 0, 0); -- webhooks that nobody listens to
        end if;
    end if;
    return query
        select nr::integer, made.id, made.is_new, follower
        from unnest(ids, new) with ordinality made (id, is_new, nr) order by nr;
end
$$;
revoke all on function postroom.publish_batch(jsonb, jsonb, text) from public;
