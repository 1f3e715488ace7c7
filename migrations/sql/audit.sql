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
