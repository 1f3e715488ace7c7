-- $1 endpoint, $2 url, $3 types, $4 description; null leaves a value as it is.
update postroom.endpoint
set url = coalesce($2, url), types = coalesce($3::text[], types), description = coalesce($4, description),
    failing_since = case when url = coalesce($2, url) then failing_since end, -- another address has its own days
    updated_at = now()
where id = $1
returning id
