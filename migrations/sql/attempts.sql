-- Where an attempt went. `endpoint_id` of a webhook to a tenant's endpoint; otherwise `destination`, unless that is
-- called as the channel is, as with email. Both are null of attempts that were logged before.
-- A column without a default rewrites nothing, but its lock is one that settling waits behind: where somebody reads the
-- log for long, it is given up after two seconds and tried again.
do $$
begin
    if exists (select from pg_attribute where attrelid = 'postroom.attempt'::regclass and attname = 'endpoint_id') then
        return;
    end if;
    set local lock_timeout = '2s';
    for try in 1..20 loop
        begin
            alter table postroom.attempt add column destination text, add column endpoint_id uuid;
            exit;
        exception when lock_not_available then
            if try = 20 then
                raise;
            end if;
            perform pg_sleep(2);
        end;
    end loop;
    set local lock_timeout = '60s';
end
$$;

-- The name of a destination as the log keeps it, and as people read it.
create or replace function postroom.logged_destination(channel text, destination text, endpoint_id uuid) returns text
language sql immutable parallel safe
as $$
    select case when endpoint_id is null then nullif(destination, channel) end
$$;
create or replace function postroom.shown_destination(channel text, destination text, endpoint_id uuid) returns text
language sql immutable parallel safe
as $$
    select coalesce(destination, endpoint_id::text, case when channel in ('email', 'stripe') then channel end)
$$;
revoke all on function postroom.logged_destination(text, text, uuid) from public;
revoke all on function postroom.shown_destination(text, text, uuid) from public;
