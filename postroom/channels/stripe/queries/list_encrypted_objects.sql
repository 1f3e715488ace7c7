-- Sealed mirrored objects: only who has the key can look into them.
select account, object_id, data::text as kept from postroom.stripe_object
where starts_with(data ->> '$', 'sealed:1:')
