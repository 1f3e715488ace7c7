-- What the server and the workers are like. $1 seconds after which a silent worker counts as dead
select
    -- A vacuum holds no snapshot that others wait for, however long it takes.
    coalesce((select extract(epoch from now() - min(xact_start)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
            and backend_type is distinct from 'autovacuum worker'), 0)::float8 as transaction_s,
    -- Other machines that follow this one, or for which a slot keeps what they have yet to get: not those that
    -- read changes as rows, nor a copy that is being made.
    (select count(*) from pg_stat_replication r
        where r.state in ('streaming', 'catchup') and r.application_name is distinct from 'pg_basebackup'
            and not exists (select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical'))
        + (select count(*) from pg_replication_slots where slot_type = 'physical' and not active and not temporary)
        as standbys,
    case when current_setting('synchronous_commit') in ('off', 'local') then 0 else
        (select count(*) from pg_stat_replication r
            where r.state = 'streaming' and r.sync_state in ('sync', 'quorum') and not exists (
                select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical'))
        end as standbys_synchronous,
    (select count(*) from postroom.worker where beat_at > now() - make_interval(secs => $1)) as workers,
    (select count(*) from postroom.endpoint where disabled_at is not null) as endpoints_disabled,
    -- The canary's, not older than its last run; measuring it looks at every file.
    coalesce((select database_bytes from postroom.ledger_check), pg_database_size(current_database())) as database_bytes,
    (select extract(epoch from min(expires_at) - now()) / 86400 from postroom.living_token
        where expires_at > now())::float8 as token_days,
    coalesce((select max(to_date(right(c.relname, 8), 'YYYYMMDD')) - current_date
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'postroom.attempt'::regclass and c.relname ~ '^attempt_[0-9]{8}$'), 0)::float8
        as partition_days,
    -- Only of a server on this machine, and only for a role that may see it.
    (select setting from pg_settings where name = 'data_directory'
        and coalesce(inet_server_addr(), '127.0.0.1') <<= any ('{127.0.0.0/8,::1/128}'::inet[])) as data_dir,
    coalesce((select published from postroom.ledger_check), 0) as published,
    coalesce((select no_receiver from postroom.ledger_check), 0) as no_receiver,
    coalesce((select open from postroom.ledger_check), 0) as open,
    coalesce((select drift from postroom.ledger_check), 0) as drift,
    coalesce((select extract(epoch from checked_at) from postroom.ledger_check), 0)::float8 as checked_s
