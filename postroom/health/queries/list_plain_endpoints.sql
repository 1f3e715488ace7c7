-- Endpoints whose url has no TLS, and which are not disabled. $1 how many at most
select id, tenant, url from postroom.endpoint
where disabled_at is null and starts_with(lower(url), 'http:')
order by id limit $1
