-- Stripe's last day in one row, of its newest $1 events: how late they came, what came by asking afterwards.
select count(*) as events, max(received_at) as last_received_at,
    percentile_cont(0.5) within group (order by extract(epoch from received_at - event_created))
        filter (where source = 'webhook') as lag_median_s,
    percentile_cont(0.95) within group (order by extract(epoch from received_at - event_created))
        filter (where source = 'webhook') as lag_p95_s,
    count(*) filter (where source = 'backfill') as backfilled,
    count(*) filter (where state = 'quarantined') as quarantined,
    count(*) filter (where state = 'ignored') as ignored,
    array_agg(distinct secret) filter (where secret is not null) as secrets,
    array_agg(distinct api_version) filter (where api_version is not null) as api_versions
from (
    select received_at, event_created, source, state, secret, api_version from postroom.stripe_event
    where raw is not null and received_at > now() - interval '1 day'
    order by received_at desc limit $1
) e
