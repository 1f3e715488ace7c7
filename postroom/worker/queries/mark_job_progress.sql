-- A job that never ends is doing well. $1 name
update postroom.job set beat_at = now(), succeeded_at = now(), failures = 0, last_error = null where name = $1
