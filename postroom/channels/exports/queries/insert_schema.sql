-- The next version of a dataset's schema. Whoever runs it has locked the files.
-- $1 dataset, $2 fields
insert into postroom.export_schema (dataset, version, fields)
select $1, coalesce(max(version), 0) + 1, $2::jsonb from postroom.export_schema where dataset = $1
