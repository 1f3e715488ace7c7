-- The audit trail is written and not changed: these are the only ways, and who calls them owns nothing. May be run again.

-- Forget entries older than so many days, the oldest first, at most so many. None that is younger than 31 days, which is
-- the least that the settings take. Returns how many.
create or replace function postroom.prune_audit(days integer, batch_max integer) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
    with gone as (
        delete from postroom.audit
        where id in (
            select a.id from postroom.audit a where a.at < now() - make_interval(days => greatest(days, 31))
            order by a.at limit batch_max)
        returning 1
    )
    select count(*)::integer from gone
$$;
revoke all on function postroom.prune_audit(integer, integer) from public;

-- Take one address out of what entries say, a part of the trail at a time: never out of who did it, what, and when. That it
-- was done is an entry of its own, so that nobody empties a trail unseen. $1 what stands before the @, $2 its domain in each
-- spelling, $3 after this entry, $4 so many. Returns the last entry that was looked at, and how many had it; no row at the end.
create or replace function postroom.erase_from_audit(local text, domains text[], after bigint, batch_max integer)
returns table (last bigint, erased integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    pattern text;
begin
    if local !~ '^[^[:space:]@]+$' or cardinality(domains) = 0
        or exists (select from unnest(domains) d where d !~ '^[^[:space:]@]+\.[^[:space:]@]+$') then
        raise invalid_parameter_value using message = 'an address has a name, an @ and a domain';
    end if;
    -- As `person` in postroom/admin/erasure.py has it.
    pattern := '((?<![[:alnum:]._%+''-])|(?<=\\[nrtbf]))'
        || regexp_replace(local, '([^[:alnum:]_])', '\\\1', 'g') || '(@|%40)('
        || (select string_agg(regexp_replace(d, '([^[:alnum:]_])', '\\\1', 'g'), '|') from unnest(domains) d)
        || ')(?![[:alnum:]-]|\.[[:alnum:]])';
    select max(batch.id) into last from (
        select a.id from postroom.audit a where a.id > after order by a.id limit batch_max) batch;
    if last is null then
        return;
    end if;
    update postroom.audit a set
        subject = left(regexp_replace(a.subject, pattern, '[erased]', 'gi'), 500),
        detail = regexp_replace(a.detail::text, pattern, '[erased]', 'gi')::jsonb
    where a.id > after and a.id <= last and (a.subject ~* pattern or a.detail::text ~* pattern);
    get diagnostics erased = row_count;
    if erased > 0 then
        insert into postroom.audit (actor, action, detail)
        values ('database:' || session_user, 'erasure.audit', jsonb_build_object('entries', erased));
    end if;
    return next;
end
$$;
revoke all on function postroom.erase_from_audit(text, text[], bigint, integer) from public;
