-- Take over what belongs to a tenant. Those of before are removed in the same transaction: see
-- `remove_belongings`. $1 endpoints, $2 unsubscribed, $3 limits, each an array of JSON objects
with endpoints as (
    insert into postroom.endpoint select * from jsonb_populate_recordset(null::postroom.endpoint, $1::text::jsonb)
), unsubscribed as (
    insert into postroom.unsubscribed
    select * from jsonb_populate_recordset(null::postroom.unsubscribed, $2::text::jsonb)
    on conflict do nothing
)
insert into postroom.delivery_limit (channel, tenant, per_second, in_flight, reason, set_by, set_at)
select channel, tenant, per_second, in_flight, reason, set_by, set_at
from jsonb_populate_recordset(null::postroom.delivery_limit, $3::text::jsonb)
