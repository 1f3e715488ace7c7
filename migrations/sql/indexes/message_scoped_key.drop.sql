-- What a migration that was cut off left behind.
drop index concurrently if exists postroom.message_scoped_key
