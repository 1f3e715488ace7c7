-- Export files stay open for a while, lie in the folder of their records' day, and have their name from the beginning. May
-- be run again. The table has a row a file.
select postroom.hold('postroom.export_file');

-- `folder`: the open file of a folder is found by it. `closes_at`: null once nothing more comes in. `created_at` is null until
-- the file is stored: workers of an earlier version take a file's name from it, and so cannot write one of these.
alter table postroom.export_file
    alter column created_at drop not null,
    add column if not exists opened_at timestamptz not null default now(),
    add column if not exists folder text,
    add column if not exists closes_at timestamptz,
    add column if not exists payload_bytes bigint not null default 0,
    drop constraint if exists export_file_check,
    drop constraint if exists export_file_records_check,
    add constraint export_file_records_check check (records >= 0);
update postroom.export_file set opened_at = created_at where created_at < opened_at;

create unique index if not exists export_file_open on postroom.export_file (folder) where closes_at is not null;
create index if not exists export_file_opened on postroom.export_file (opened_at);
drop index if exists postroom.export_file_created;
