-- The same as in keys.sql, beside publishers that go on: 9 s on 10 million messages.
create unique index concurrently message_scoped_key on postroom.message
    (key, channel, (case when channel = 'stripe' or key like 'stripe:%' then '' else tenant end))
    where key is not null
