-- The newest schema of a dataset.
-- $1 dataset
select version, fields::text as fields from postroom.export_schema where dataset = $1 order by version desc limit 1
