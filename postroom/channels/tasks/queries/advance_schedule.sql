-- $1 a schedule, $2 up to when its times are published, $3 the last of them, if there was one
update postroom.schedule set last_at = $2, published_at = coalesce($3, published_at) where name = $1
