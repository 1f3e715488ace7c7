-- Several ledgers: which one this database is, whose tenant is where, and the fence of those that are elsewhere. May be run again.
select postroom.hold('postroom.delivery');

-- What waits until the ledger that its tenant left has nothing of it any more: in no lane, so that nobody claims it. Not
-- validated, which would read every row: the check of before was stricter.
alter table postroom.delivery
    drop constraint if exists delivery_state_check,
    add constraint delivery_state_check check (state in
        ('pending', 'retry', 'pending_urgent', 'retry_urgent', 'pending_bulk', 'retry_bulk',
        'held', 'held_urgent', 'held_bulk')) not valid;

-- This ledger's copy of the directory: its own name, the ledger of each slot, and how new it is. `name` is null where there
-- is one ledger only. `ready`: no transaction is open that began before it was named. What changes for a publisher changes this
-- row, too.
create table if not exists postroom.ledger_directory (
    only_one boolean primary key default true check (only_one),
    name text check (name ~ '^[a-z0-9_]{1,63}$'),
    epoch bigint not null default 0,
    slots text[] check (cardinality(slots) = 1024),
    ready boolean not null default false,
    check ((name is null) = (slots is null))
);
insert into postroom.ledger_directory default values on conflict do nothing;

-- Tenants that are not where their slot says. One of another ledger is refused here. While it moves: `source` is where from, and
-- `step` how far: 'copying' (it is still there), 'fenced' (nobody takes it), 'held' (the new one takes it, and delivers nothing of
-- it). `copied_xid`: the new one has every key of transactions before it. `changed_at`: when the step began.
create table if not exists postroom.ledger_tenant (
    tenant text primary key check (length(tenant) between 1 and 200),
    ledger text not null,
    epoch bigint not null,
    step text check (step in ('copying', 'fenced', 'held')),
    source text,
    copied_xid bigint,
    changed_at timestamptz not null default now(),
    check ((step is null) = (source is null))
);

-- Errors: `serialization_failure` where a tenant has been fenced or let go since the transaction's own snapshot, which cannot see it.
create or replace function postroom.check_snapshot() returns void
language plpgsql
as $$
begin
    if (select d.name is not null from postroom.ledger_directory d) then
        perform from postroom.ledger_directory for share;
    end if;
end
$$;
revoke all on function postroom.check_snapshot() from public;

-- Errors: `PE001` where one of these tenants is at another ledger, with both and the epoch as JSON in the detail. What Stripe's events
-- and those of mail providers cause stays where they come in, and so do events of Stripe's, unless they name the slot of their tenant:
-- then they are refused wherever it is not. Returns whether one of them is held.
create or replace function postroom.check_tenants(messages jsonb) returns boolean
language plpgsql
as $$
declare
    own constant text := (select d.name from postroom.ledger_directory d);
    held boolean;
    gone jsonb;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        perform postroom.check_snapshot();
    end if;
    -- Each is looked up by the index, however many have moved: without `offset 0` all of them might be read.
    select bool_or(t.step = 'held' and t.ledger = own),
        max(json_build_object('tenant', named.tenant, 'ledger', coalesce(t.ledger, named.ledger, ''), 'epoch', coalesce(t.epoch, 0))::text)
            filter (where named.refused and (coalesce(t.ledger, named.ledger) <> own or named.ledger is not null and own is null))
    into held, gone
    from (
        select distinct coalesce(m ->> 'tenant', postroom.short(m -> 'payload' ->> 'tenant'), '') as tenant,
            case when m ? 'slot' then coalesce(d.slots[(m ->> 'slot')::integer + 1], '') end as ledger,
            m ? 'slot' or m ->> 'channel' <> 'stripe' and coalesce(m ->> 'key' !~ '^(stripe|email-event):', true) as refused
        from postroom.ledger_directory d cross join jsonb_array_elements(messages) m
    ) named
    left join lateral (select * from postroom.ledger_tenant t where t.tenant = named.tenant offset 0) t on true;
    if gone is not null then
        raise exception using errcode = 'PE001',
            message = format('the tenant %s is at the ledger %s: publish it there', quote_literal(gone ->> 'tenant'), gone ->> 'ledger'),
            detail = gone,
            hint = 'While a tenant moves, no ledger takes it for a moment: try again.';
    end if;
    return coalesce(held, false);
end
$$;
revoke all on function postroom.check_tenants(jsonb) from public;

-- Whether a key of what Stripe's events cause goes along with this tenant: one that a route gave to what several events tell, where
-- the first of them was of this owner, or one that came along before.
create or replace function postroom.is_of_owner(owner text, key text, tenant text, deliveries integer, correlation_id text) returns boolean
language sql stable
as $$
    select position(':key:' in key) > 0 and (tenant = owner and deliveries = 0 or exists (
        select from postroom.message e
        where e.id = case when is_of_owner.correlation_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                then is_of_owner.correlation_id::uuid end
            and e.channel = 'stripe' and e.tenant = owner))
$$;
revoke all on function postroom.is_of_owner(text, text, text, integer, text) from public;

-- What was published just now for a tenant that is held waits with it.
create or replace function postroom.hold_deliveries(ids uuid[]) returns void
language sql
as $$
    update postroom.delivery d set state = 'held' || substr(d.state, 8)
    from postroom.ledger_tenant t
    where d.message_id = any (ids) and t.tenant = d.tenant and t.step = 'held'
        and t.ledger = (select own.name from postroom.ledger_directory own)
$$;
revoke all on function postroom.hold_deliveries(uuid[]) from public;

-- Who changes what is refused or held here: waits for everybody who has published, for each has looked at this table, and keeps new
-- ones waiting until the transaction ends. Then what has been published is all that there will be under the old rule. The row of the
-- directory changes with it, so that transactions with an older snapshot are told to try again.
-- Errors: `lock_not_available`, soon: publishers wait behind whoever waits for a table.
create or replace function postroom.change_tenants() returns void
language plpgsql
set lock_timeout = '100ms'
as $$
begin
    lock table postroom.ledger_tenant in access exclusive mode;
    update postroom.ledger_directory set epoch = epoch;
end
$$;
revoke all on function postroom.change_tenants() from public;
