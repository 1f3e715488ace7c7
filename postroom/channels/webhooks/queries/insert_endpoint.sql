-- $1 tenant, $2 url, $3 types, $4 description, $5 secret, $6 most endpoints of a tenant, $7 its id.
insert into postroom.endpoint (id, tenant, url, types, description, secret)
select $7, $1, $2, $3::text[], $4, $5
where (select count(*) from postroom.endpoint e where e.tenant = $1) < $6::bigint
returning id
