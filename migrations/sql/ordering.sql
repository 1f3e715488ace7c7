-- The key under which a delivery waits for its turn. An ordering key is its tenant's own: no tenant waits for what another one cannot
-- get rid of. Stripe's events are in order by object, whichever customer it belongs to. The tenant's hash stands there and not the
-- tenant, which could make the whole too long for an index. What an earlier version queued has the key alone; while some of
-- that is this tenant's, what follows has the key alone, too. Looks at 1,000 rows of that key at most, for those without a tenant
-- may be many. Returns one row, as a set: other functions with a subquery are not inlined. May be run again.
create or replace function postroom.ordered_by(channel text, tenant text, ordering_key text)
returns table (place text)
language sql stable rows 1 parallel safe
as $$
    select case
        when ordering_key is null or channel = 'stripe' or tenant = '' then ordering_key
        when exists (
            select from (
                select d.tenant from postroom.delivery d
                where d.ordering_key = ordered_by.ordering_key and d.channel = ordered_by.channel
                limit 1000
            ) before
            where coalesce(before.tenant, ordered_by.tenant) = ordered_by.tenant
        ) then ordering_key
        else hashtextextended(tenant, 7265) || ':' || ordering_key end
$$;
revoke all on function postroom.ordered_by(text, text, text) from public;
