-- A replay that also looks for what never went to an endpoint: it walks over the endpoint's messages, part by part.
-- May be run again.

-- `next_id`: behind which message the walk goes on; null when it is over, and of a replay of dead letters alone.
alter table postroom.replay_run
    add column if not exists endpoint_id uuid,
    add column if not exists next_id uuid,
    add column if not exists until_id uuid;

-- From when on the log of attempts is whole: what was delivered before that is not known any more.
create or replace function postroom.attempt_log_begin() returns timestamptz
language sql stable
as $$
    select coalesce(min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp at time zone 'UTC', now())
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'postroom.attempt'::regclass and c.relname ~ '^attempt_[0-9]{8}$'
$$;

-- So that those who get nothing are counted however many endpoints there are.
create index if not exists endpoint_disabled on postroom.endpoint (id) where disabled_at is not null;
revoke all on function postroom.attempt_log_begin() from public;
