-- What the manifest of a folder says, in one snapshot: a row a file; one without a file where there is none.
-- $1 folder
select p.version, p.dataset, p.tenant, p.day, f.path, f.records, f.size_bytes, encode(f.sha256, 'hex') as sha256, f.stored_at,
    f.schema_version, s.fields::text as fields
from postroom.export_partition p
left join postroom.export_file f on f.folder = p.folder and f.listed
left join postroom.export_schema s on s.dataset = f.dataset and s.version = f.schema_version
where p.folder = $1
order by f.opened_at, f.id
