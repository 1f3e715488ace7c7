-- $1 endpoint, $2 url, $3 types, $4 description; null leaves a value as it is.
update postroom.endpoint
set url = coalesce($2, url), types = coalesce($3::text[], types), description = coalesce($4, description),
    updated_at = now()
where id = $1
returning id
