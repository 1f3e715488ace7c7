-- A manifest for each folder of exports: the ledger says which files it lists, the object in the storage is a copy. May be
-- run again. The table has a row a file.
select postroom.hold('postroom.export_file');

-- `version` counts the changes of what is listed; `written` is the newest version that is known to be in the storage.
-- `tenant` and `day` are null where the layout lets several share the folder.
create table if not exists postroom.export_partition (
    folder text primary key,
    dataset text not null,
    tenant text,
    day date,
    version integer not null default 0,
    written integer not null default 0,
    changed_at timestamptz not null default now()
);
create index if not exists export_partition_stale on postroom.export_partition (changed_at) where written < version;
create index if not exists export_partition_dataset on postroom.export_partition (dataset, day);

-- `listed`: the manifest has the file. Runners of an earlier version do not set it; the job `export-files` does so for them.
-- `again`: somebody wants the file to be written again. `forgotten`: which records it holds is no longer known.
alter table postroom.export_file
    add column if not exists listed boolean not null default false,
    add column if not exists again boolean not null default false,
    add column if not exists forgotten boolean not null default false;
create index if not exists export_file_listed on postroom.export_file (folder) where listed;
create index if not exists export_file_unlisted on postroom.export_file (stored_at) where stored_at is not null and not listed;
create index if not exists export_file_again on postroom.export_file (id) where again;
create index if not exists export_file_known on postroom.export_file (opened_at) where not forgotten;
drop index if exists postroom.export_file_opened;
