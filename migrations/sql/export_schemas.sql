-- Which fields the records of a dataset have. A version is never changed: files name it. May be run again.
create table if not exists postroom.export_schema (
    dataset text not null,
    version integer not null check (version > 0),
    fields jsonb not null check (jsonb_typeof(fields) = 'array'),
    created_at timestamptz not null default now(),
    primary key (dataset, version)
);
-- `schema_version`: decided when the file closes; null where its dataset has no schema.
select postroom.hold('postroom.export_file');
alter table postroom.export_file add column if not exists schema_version integer;
