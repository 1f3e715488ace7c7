-- Whether the schema is there; to make it if it is not would need a privilege on the database even if it is
select to_regnamespace('postroom') is not null
