-- The tables that have payloads or secrets, without them: for people and reports that look and change nothing. What a
-- receiver answered is left out, too, for it may repeat what it got. Each column is here by name, so that one that is
-- added is shown by decision; it comes last, for a view keeps the order of its columns. Two
-- more of them are in reach.sql, one in email_templates.sql. May be run again.

create or replace view postroom.message_view as
select id, channel, type, tenant, key, correlation_id, ordering_key, traceparent, deliveries, xid, created_at, published_by,
    payload = '{}' as emptied
from postroom.message;

create or replace view postroom.stripe_event_view as
select account, event_id, message_id, source, state, type, object_type, object_id, api_version, livemode, thin, event_created,
    received_at, settled_at, effects, raw is null as emptied
from postroom.stripe_event;

create or replace view postroom.stripe_object_view as
select account, object_id, type, deleted, as_of, event_id, event_rank, fetched, updated_at, livemode, api_version
from postroom.stripe_object;

-- A url without what may stand before its host, in its path and behind it: any of these may be a secret.
create or replace view postroom.endpoint_view as
select id, tenant, substring(url from '^[A-Za-z]+://') || substring(url from '^[A-Za-z]+://(?:[^/@?#]*@)?([^/?#]+)') as origin,
    types, description, state, parked_reason, previous_secret_until, created_at, updated_at, failing_since, disabled_at,
    release_pace
from postroom.endpoint;
