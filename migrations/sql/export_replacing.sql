-- Export files are replaced by others: without a person who was erased, or several small ones by one. May be run again.
select postroom.hold('postroom.export_file');
select postroom.hold('postroom.export_record');

-- `replaced_by`: the file that will have its records, or has them. From version `removed_in` of its manifest on it is not
-- listed, and from `delete_at` on its object is deleted, and then the row.
alter table postroom.export_file
    add column if not exists replaced_by uuid,
    add column if not exists removed_in integer,
    add column if not exists delete_at timestamptz;
create index if not exists export_file_replaced on postroom.export_file (replaced_by) where replaced_by is not null;
create index if not exists export_file_removed on postroom.export_file (delete_at) where delete_at is not null;
create index if not exists export_file_listed_id on postroom.export_file (id) where listed;
drop index if exists postroom.export_file_unlisted;
create index export_file_unlisted on postroom.export_file (stored_at)
    where stored_at is not null and not listed and delete_at is null;

-- `compacted_at`: the folder was looked at for small files as it was then.
alter table postroom.export_partition add column if not exists compacted_at timestamptz not null default '-infinity';
create index if not exists export_partition_changed on postroom.export_partition (changed_at) where compacted_at < changed_at;

-- `erased`: the file still has the line, and is replaced by one without.
alter table postroom.export_record add column if not exists erased boolean not null default false;
create index if not exists export_record_erased on postroom.export_record (file_id) where erased;

-- A person who is looked for in files, where the ledger no longer has what was written into them. `after`: the last file
-- that was looked at. The row goes when all were.
create table if not exists postroom.export_search (
    id uuid primary key default postroom.uuid7(),
    pattern text not null,
    after uuid not null default '00000000-0000-0000-0000-000000000000'
);
