-- What belongs to a tenant and goes with it, as JSON. $1 tenant
select
    (select coalesce(jsonb_agg(to_jsonb(e)), '[]') from postroom.endpoint e where e.tenant = $1)::text as endpoints,
    (select coalesce(jsonb_agg(to_jsonb(u)), '[]') from postroom.unsubscribed u where u.tenant = $1)::text as unsubscribed,
    (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from postroom.delivery_limit l where l.tenant = $1)::text as limits
