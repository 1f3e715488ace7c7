-- Who wants no more mail of one category from one tenant. Mail without a category ignores it. May be run again.
create table if not exists postroom.unsubscribed (
    address text not null check (address = lower(address) and length(address) between 3 and 320),
    tenant text not null,
    category text not null,
    message_id uuid,
    created_at timestamptz not null default now(),
    primary key (address, tenant, category)
);
comment on column postroom.unsubscribed.message_id is 'The mail whose link was followed; null where an operator noted the wish.';
