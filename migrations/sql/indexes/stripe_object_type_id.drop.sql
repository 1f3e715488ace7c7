-- What a migration that was cut off left behind.
drop index concurrently if exists postroom.stripe_object_type_id
