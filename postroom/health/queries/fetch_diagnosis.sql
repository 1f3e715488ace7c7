-- The server in one row, for the doctor.
select current_setting('server_version') as version,
    exists (select from pg_roles where rolname = 'postroom_publisher') as publisher,
    to_regclass('postroom.alembic_version') is not null as migrated
