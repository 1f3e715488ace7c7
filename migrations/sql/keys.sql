-- A key is unique within its channel and tenant. On a ledger that is in use the index is there already, made beside its
-- publishers; here it is made for one that is new.
do $$
begin
    if to_regclass('postroom.message_scoped_key') is null then
        create unique index message_scoped_key on postroom.message
            (key, channel, (case when channel = 'stripe' or key like 'stripe:%' then '' else tenant end))
            where key is not null;
    end if;
end
$$;
