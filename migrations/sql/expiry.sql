-- Deliveries die of age, and endpoints that only fail are disabled. May be run again.

-- What a publisher limited itself, in the order in which it ends: nobody else would find what is never claimed.
-- A table of its own, for an index of the deliveries would be made while publishers wait.
create table if not exists postroom.expiring (
    message_id uuid primary key,
    expires_at timestamptz not null
);
create index if not exists expiring_at on postroom.expiring (expires_at);

-- A moment that a publisher named, as the ledger can keep it: "never" is no limit.
create or replace function postroom.expiry(expires_at timestamptz) returns timestamptz
language sql stable parallel safe
as $$
    select case when expires_at < '9999-01-01 00:00+00' then greatest(expires_at, '1970-01-01 00:00+00') end
$$;
revoke all on function postroom.expiry from public;

-- The first id that a message of this moment can have; see `uuid7`.
create or replace function postroom.first_id_at(moment timestamptz) returns uuid
language sql immutable parallel safe
as $$
    select (lpad(to_hex((date_part('epoch', moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
revoke all on function postroom.first_id_at from public;

-- Both are null for most, so that a row grows by nothing. `since`: when its greatest age began, if not with the
-- message: it was to be delivered later, or a person has brought it back. A dead letter keeps them: what is sent again
-- without a person's word is no younger for it.
alter table postroom.delivery add column if not exists expires_at timestamptz, add column if not exists since timestamptz;
alter table postroom.dead_letter add column if not exists expires_at timestamptz, add column if not exists since timestamptz;

-- Not validated, which would read all of them: the one before was stricter. Runners of before never write the new cause.
alter table postroom.dead_letter drop constraint if exists dead_letter_cause_check;
alter table postroom.dead_letter add constraint dead_letter_cause_check
    check (cause in ('passing', 'permanent', 'ours', 'expired')) not valid;

-- Disabled is parked, and more: nothing new is queued for it. So runners and publishers of before, who know of no third
-- state, hold it back. `release_pace`: deliveries a second, while what waited for it is let go.
alter table postroom.endpoint add column if not exists failing_since timestamptz,
    add column if not exists disabled_at timestamptz,
    add column if not exists release_pace real check (release_pace > 0);

-- The state of an endpoint as people read it.
create or replace function postroom.endpoint_state(state text, disabled_at timestamptz) returns text
language sql immutable parallel safe
as $$
    select case when state = 'parked' and disabled_at is not null then 'disabled' else state end
$$;
revoke all on function postroom.endpoint_state(text, timestamptz) from public;
