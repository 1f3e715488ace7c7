-- Access fetched from Stripe on request: after a checkout the webhook may still be under way. May be run again.

-- One row a customer that was asked for. `due_at`: when a runner should take it, null: nothing is to be done; while one has
-- it, it is due again should that one die. `answered`: the `asked_at` that was answered last. `code` and `fault`: why it could
-- not be fetched. Forgotten a day later.
create table if not exists postroom.stripe_refresh (
    account text not null check (length(account) between 1 and 200),
    customer text not null check (length(customer) between 1 and 200),
    asked_at timestamptz not null default clock_timestamp(),
    due_at timestamptz default now(),
    answered timestamptz,
    answered_at timestamptz,
    code text,
    fault text,
    primary key (account, customer)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 50);
create index if not exists stripe_refresh_due on postroom.stripe_refresh (due_at) where due_at is not null;
create index if not exists stripe_refresh_answered on postroom.stripe_refresh (answered_at) where answered_at is not null;

-- Have a runner fetch what a customer may use from Stripe: the customer, their subscriptions and entitlements. It is asked when
-- this transaction commits, and takes milliseconds to begin. Returns what `answered` in `stripe.customer_refresh` is, or more,
-- when it has been done; `stripe.customer_access` is fresh then, unless `fault` says why it is not.
create or replace function postroom.refresh_customer(customer text, account text default 'self') returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    asked timestamptz;
begin
    if customer is null or account is null or customer !~ '^[A-Za-z0-9_-]{1,200}$' or account !~ '^[A-Za-z0-9_/]{1,200}$' then
        raise exception 'refresh_customer: this is no id of a customer, or no account' using errcode = 'invalid_parameter_value';
    end if;
    insert into postroom.stripe_refresh as r (account, customer) values (refresh_customer.account, refresh_customer.customer)
    on conflict on constraint stripe_refresh_pkey do update
    set asked_at = greatest(clock_timestamp(), r.asked_at + interval '1 microsecond'),
        due_at = least(r.due_at, now())
    returning asked_at into asked;
    perform postroom.wake('stripe-refresh');
    return asked;
end
$$;

-- How requests to fetch a customer's access stand.
create or replace view stripe.customer_refresh as
select account, customer, asked_at, answered, answered_at, code, fault from postroom.stripe_refresh;
