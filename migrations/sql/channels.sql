-- What an operator has said of a channel.

-- A row: nothing of this channel is claimed until it is resumed. Relays read all rows once a second.
create table if not exists postroom.channel_pause (
    channel text primary key check (channel in ('stripe', 'email', 'webhook', 'export')),
    reason text not null,
    paused_by text not null,
    paused_at timestamptz not null default now()
);
