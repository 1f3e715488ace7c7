-- Keys were unique over all tenants.
drop index concurrently if exists postroom.message_key
