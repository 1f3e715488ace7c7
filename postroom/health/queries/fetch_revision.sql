-- The schema's revision.
select version_num from postroom.alembic_version
