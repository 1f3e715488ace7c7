-- $1 endpoint, $2 the new secret, $3 the present one as the previous one or null, $4 seconds for which that stays valid.
update postroom.endpoint
set secret = $2, previous_secret = $3::text,
    previous_secret_until = case when $3::text is not null then now() + make_interval(secs => $4) end, updated_at = now()
where id = $1
returning id
