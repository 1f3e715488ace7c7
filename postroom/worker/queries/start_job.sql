-- A job starts here whatever its schedule says. $1 name
update postroom.job set started_at = now(), beat_at = now(), requested_at = null where name = $1
