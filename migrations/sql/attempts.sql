-- Where an attempt went. `endpoint_id` of a webhook to a tenant's endpoint; otherwise `destination`, unless that is
-- called as the channel is, as with email. Both are null of attempts that were logged before.
-- Columns without a default rewrite nothing.
alter table postroom.attempt add column if not exists destination text, add column if not exists endpoint_id uuid;

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
