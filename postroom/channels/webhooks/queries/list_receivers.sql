-- Endpoints by what people know them by. $1 their ids
select id, tenant, url from postroom.endpoint where id = any ($1::uuid[])
