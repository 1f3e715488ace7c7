-- Tasks are a channel. May be run again.

-- A moment for each table, when nobody has it; see hold.sql. Not validated, which would read every row: the checks of before
-- were stricter.
select postroom.hold('postroom.message', 'postroom.channel_pause', 'postroom.delivery_limit');
alter table postroom.message drop constraint if exists message_channel_check,
    add constraint message_channel_check
        check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api', 'task')) not valid;
alter table postroom.channel_pause drop constraint if exists channel_pause_channel_check,
    add constraint channel_pause_channel_check
        check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api', 'task')) not valid;
alter table postroom.delivery_limit drop constraint if exists delivery_limit_channel_check,
    add constraint delivery_limit_channel_check
        check (channel in ('stripe', 'email', 'webhook', 'export', 'stripe_api', 'task')) not valid;

-- A row a schedule of tasks. `last_at`: up to when its times are published; `published_at`: the last of them that was. Where it
-- is paused, none are.
create table if not exists postroom.schedule (
    name text primary key check (length(name) between 1 and 200),
    last_at timestamptz not null,
    published_at timestamptz,
    paused_at timestamptz,
    paused_by text check (length(paused_by) <= 200),
    reason text check (length(reason) <= 500),
    check ((paused_at is null) = (paused_by is null))
);
