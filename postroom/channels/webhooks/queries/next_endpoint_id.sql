-- The id of an endpoint that is to be made: its secret is encrypted for it.
select postroom.uuid7()
