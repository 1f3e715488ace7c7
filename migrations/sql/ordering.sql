-- What a delivery waits for: an ordering key is its tenant's own, so that none waits for what another one cannot get rid of.
-- Stripe's events are in order for each object, whoever its customer becomes. A tenant by its hash, for both together could be
-- too long for an index. What was queued before has the key alone: as long as that of this tenant waits, what follows has it,
-- too. Looks at 1,000 of them at most, for they may be those of whoever has no tenant. One row; a set, for only
-- such a function is inlined. May be run again.
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
