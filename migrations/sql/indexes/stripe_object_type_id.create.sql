-- The same as in stripe_schema.sql, beside runners that go on.
create index concurrently stripe_object_type_id on postroom.stripe_object (type, object_id)
