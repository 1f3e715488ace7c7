-- Make the attempt log's partitions from today on, one a day of UTC, whatever zone the session is in. Returns
-- how many were new. A day that the default partition has rows of already stays there.
-- Whoever waits for the lock that this takes makes all settling wait behind: a dump must not do that.
-- The log is locked first, so that of two that run at once (a job, and the same one by hand) one finds what the
-- other has made. Nobody who settles waits for that lock.
-- Tables are made and dropped as the owner of the schema, so that whoever calls this need not be: at most a year
-- ahead, and below never the last day.
create or replace function postroom.make_attempt_partitions(days integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
    day date;
    name text;
    made integer := 0;
begin
    lock table only postroom.attempt in share update exclusive mode;
    for day in select current_date + i from generate_series(0, least(days, 366)) i loop
        name := 'attempt_' || to_char(day, 'YYYYMMDD');
        if to_regclass('postroom.' || name) is null then
            begin
                execute format('create table postroom.%I partition of postroom.attempt for values from (%L) to (%L)',
                    name, day::timestamptz, (day + 1)::timestamptz);
                made := made + 1;
            exception when check_violation or invalid_object_definition then
                null; -- there are rows of this day, or a part of it has a partition
            end;
        end if;
    end loop;
    return made;
end
$$;

-- Drop partitions of the attempt log that ended more than so many days ago. Returns how many.
create or replace function postroom.drop_attempt_partitions(days integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
    name text;
    dropped integer := 0;
begin
    lock table only postroom.attempt in share update exclusive mode;
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'postroom.attempt'::regclass
            and c.relname ~ '^attempt_[0-9]{8}$' and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - greatest(days, 1)
        order by 1
    loop
        execute format('drop table postroom.%I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

-- For a new ledger; of one that is in use the job `retention` makes them.
select postroom.make_attempt_partitions(7) where not exists (
    select from pg_inherits where inhparent = 'postroom.attempt'::regclass and inhrelid <> 'postroom.attempt_default'::regclass);
