-- Nothing looks for the objects of a type within an account; the one by type and id finds them, too.
drop index concurrently if exists postroom.stripe_object_type
