-- Exports: which record belongs to which file. Decided and committed before a file is first written,
-- so that every repeat writes the same file under the same name. A file never gains records.

create table postroom.export_file (
    id uuid primary key,
    dataset text not null check (dataset ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    records integer not null check (records > 0),
    created_at timestamptz not null default now(),
    stored_at timestamptz,
    path text,
    size_bytes bigint check (size_bytes > 0),
    sha256 bytea check (length(sha256) = 32),
    check ((stored_at is null) = (path is null)),
    check ((stored_at is null) = (size_bytes is null)),
    check ((stored_at is null) = (sha256 is null))
);
create index export_file_created on postroom.export_file (created_at);

-- `message_id` as the primary key: a record belongs to one file, whoever asks first.
create table postroom.export_record (
    message_id uuid primary key,
    file_id uuid not null references postroom.export_file on delete cascade,
    position integer not null check (position > 0),
    unique (file_id, position)
);
