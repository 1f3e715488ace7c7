-- Calls to Stripe as a channel, and how far each has come. May be run again.

-- A moment for each table, when nobody has it; see hold.sql. Not validated, which would read every row: the checks of before
-- were stricter.
select postroom.hold('postroom.message', 'postroom.channel_pause', 'postroom.delivery_limit');
alter table postroom.message drop constraint if exists message_channel_check,
    add constraint message_channel_check check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api')) not valid;
alter table postroom.channel_pause drop constraint if exists channel_pause_channel_check,
    add constraint channel_pause_channel_check
        check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api')) not valid;
alter table postroom.delivery_limit drop constraint if exists delivery_limit_channel_check,
    add constraint delivery_limit_channel_check
        check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api')) not valid;

-- A row a call, from its first attempt on. `key_no` is in its idempotency key: another one is another call to Stripe.
-- `sends`: how many attempts under this key may have reached Stripe; `sent_at`: when the first of them began. `answered_at`:
-- Stripe has done it; `object_id` is what it returned, which `stripe_object` has under the same account.
create table if not exists postroom.stripe_call (
    message_id uuid primary key,
    account text not null check (length(account) between 1 and 200),
    key_no smallint not null default 1,
    sends smallint not null,
    sent_at timestamptz,
    answered_at timestamptz,
    status smallint,
    request_id text,
    api_version text,
    object_type text,
    object_id text,
    check ((sends = 0) = (sent_at is null))
) with (fillfactor = 80, autovacuum_vacuum_insert_scale_factor = 0.05);
