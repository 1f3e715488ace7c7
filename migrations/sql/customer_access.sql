-- What customers have access to: `stripe.customer_access`, made of what each mirrored object says. May be run again.

-- One row an object: a subscription, the entitlements of a customer, an invoice that is owed. It holds what is in the object
-- and nothing else: what the mirror has beside it (deleted, mode, moment) is read from there. Written in the transaction that
-- writes the mirror, from the open object, for what is at rest there may be encrypted.
-- `names` are products, features, or the subscription of an invoice; `untils` has as many moments. `due`: since when money
-- is owed. `mirrored_at`: `updated_at` of the mirrored object that it was made of, so that a gap is found.
create table if not exists postroom.stripe_access (
    account text not null,
    object_id text not null,
    customer text not null,
    kind text not null check (kind in ('product', 'feature', 'debt')),
    state text not null check (
        state in ('active', 'trial', 'past_due', 'unpaid', 'paused', 'incomplete', 'cancelled', 'unknown')),
    names text[] not null,
    untils timestamptz[] not null check (cardinality(untils) = cardinality(names)),
    renews boolean not null,
    due timestamptz,
    mirrored_at timestamptz not null,
    primary key (account, object_id)
) with (fillfactor = 70);
create index if not exists stripe_access_customer on postroom.stripe_access (customer, account);

-- How long what is past due keeps its access (a setting, which the runner writes here), and how far the comparison with the
-- mirror has come: what it looked at last, when that round began, and when it had been through all of it for the first time.
create table if not exists postroom.stripe_access_state (
    one boolean primary key default true check (one),
    grace interval not null default '7 days',
    type text not null default '',
    object_id text not null default '',
    account text not null default '',
    round_began_at timestamptz not null default '-infinity',
    filled_at timestamptz
);
insert into postroom.stripe_access_state default values on conflict do nothing;

-- What the mirror forgets, is forgotten here. The mirror is locked for a moment, when nobody has it; see `hold`.
do $$
begin
    if exists (select from pg_constraint where conname = 'stripe_access_mirrored'
            and conrelid = 'postroom.stripe_access'::regclass) then
        return;
    end if;
    perform postroom.hold('postroom.stripe_object');
    alter table postroom.stripe_access add constraint stripe_access_mirrored
        foreign key (account, object_id) references postroom.stripe_object on delete cascade;
end
$$;

-- One row an account, mode, customer, and product or feature: of several subscriptions of one product, the best one.
-- Looked up by `customer`, with `account` or without; what else there is of each is looked up by itself (`offset 0`), for the
-- planner may believe that sorting the whole mirror is cheaper.
create or replace view stripe.customer_access as
select distinct on (a.account, o.livemode, a.customer, a.kind, i.name)
    a.account, o.livemode, a.customer, a.kind, i.name, now.active, now.until, now.why, now.renews,
    case when c.deleted then greatest(o.as_of, c.as_of) else o.as_of end as as_of,
    case a.kind when 'product' then a.object_id end as subscription
from postroom.stripe_access a
cross join lateral (
    select livemode, deleted, as_of from postroom.stripe_object where account = a.account and object_id = a.object_id offset 0
) o
left join lateral (
    select deleted, as_of from postroom.stripe_object where account = a.account and object_id = a.customer offset 0
) c on true
cross join lateral unnest(a.names, a.untils) as i (name, until)
-- The end of the grace. Money may be owed for longer than this period: what is owed longest decides, where that is known.
left join lateral (
    select coalesce(min(d.due), a.due) + (select s.grace from postroom.stripe_access_state s) as ends
    from postroom.stripe_access d
    join postroom.stripe_object v on v.account = d.account and v.object_id = d.object_id
    where d.customer = a.customer and d.account = a.account and d.kind = 'debt' and d.names = array[a.object_id]
        and d.mirrored_at = v.updated_at and not v.deleted
) grace on a.state = 'past_due'
cross join lateral (
    select case
            when o.deleted or coalesce(c.deleted, false) then 'cancelled'
            when a.state in ('active', 'trial', 'past_due') and not a.renews and i.until <= now() then 'cancelled'
            when a.state = 'past_due' and grace.ends > now() then 'grace'
            else a.state
        end as why,
        least(case when a.state = 'past_due' and a.renews then grace.ends else i.until end, grace.ends) as until
) judged
cross join lateral (
    select judged.why in ('active', 'trial', 'grace') as active, judged.why, judged.until,
        a.renews and judged.why in ('active', 'trial') as renews
) now
where a.kind <> 'debt'
order by a.account, o.livemode, a.customer, a.kind, i.name, now.active desc,
    array_position(array['active', 'trial', 'grace', 'past_due', 'paused', 'unpaid', 'incomplete', 'unknown'], now.why),
    now.renews desc, now.until desc nulls first, a.object_id desc;
