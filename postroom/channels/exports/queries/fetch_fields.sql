-- The fields of a file's records; no row where it has no schema.
-- $1 file id
select s.fields::text as fields
from postroom.export_file f
join postroom.export_schema s on s.dataset = f.dataset and s.version = f.schema_version
where f.id = $1
