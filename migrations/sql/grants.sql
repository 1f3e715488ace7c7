-- What each role of this database may do: this is the one place, and every `postroom migrate` makes it so. What these
-- roles have beside it in the schema is taken away, and so is what PUBLIC has; grant more to your own roles instead.
-- Letters as in PostgreSQL's access lists: r select, a insert, w update, d delete, U usage, X execute. A view, table,
-- sequence or function without a row here belongs to its owner alone, and a test fails. What is in the schema `stripe` is
-- named with it; all views that are generated there have one row, `stripe.*`.
-- Only differences are executed, for each grant writes the catalog.
do $$
declare
    suffix constant text := case when octet_length(current_database()) <= 44
        then current_database() else md5(current_database()) end;
    command text;
begin
    -- Twice: what is taken away from a table is taken away from its columns, too.
    for round in 1..2 loop
        for command in
            with decision (name, runner, api, reader, publisher) as (values
                -- the schemas
                ('postroom',                'U',    'U',    'U', 'U'),
                ('stripe',                  'U',    'U',    'U', ''),
                -- Stripe's objects, with payloads: the reader's and nobody else's
                ('stripe.*',                '',     '',     'r', ''),
                ('stripe.object',           '',     '',     'r', ''),
                -- the ledger
                ('message',                 'rwd',  'raw',  '',  ''),
                ('delivery',                'rawd', 'rawd', 'r', ''),
                ('dead_letter',             'rawd', 'rawd', 'r', ''),
                ('attempt',                 'ra',   'raw',  '',  ''),
                ('attempt_default',         'rd',   '',     '',  ''),
                ('expiring',                'rwd',  '',     'r', ''),
                ('unique_key',              'rwd',  '',     'r', ''),
                ('batch',                   'rd',   'r',    'r', ''),
                ('payload_kept',            'rawd', '',     '',  ''),
                ('retention_mark',          'rw',   '',     '',  ''),
                ('sealing_mark',            'raw',  '',     '',  ''),
                ('delivery_seq_seq',        'U',    'U',    '',  ''),
                ('tally',                   'raw',  'raw',  'r', ''),
                ('ledger_fold',             'rw',   'r',    'r', ''),
                ('ledger_check',            'raw',  'r',    'r', ''),
                ('ledger_count',            'rawd', 'r',    'r', ''),
                ('flow',                    'rawd', 'r',    'r', ''),
                ('flow_total',              'raw',  '',     '',  ''),
                ('replay_run',              'rawd', 'rawd', '',  ''),
                ('replay_item',             'rawd', 'rawd', 'r', ''),
                ('intake_lock',             '',     '',     '',  ''),
                ('ledger_directory',        'r',    'rw',   'r', ''),
                ('ledger_tenant',           'r',    'rawd', 'r', ''),
                -- the engine
                ('claim_batch',             'rad',  '',     'r', ''),
                ('worker',                  'rawd', 'r',    'r', ''),
                ('worker_id',               'U',    '',     '',  ''),
                ('sleeper',                 'rad',  'r',    'r', ''),
                ('job',                     'raw',  'raw',  'r', ''),
                ('job_run',                 'rad',  'r',    'r', ''),
                ('circuit',                 'rawd', 'raw',  'r', ''),
                ('channel_pause',           'r',    'rad',  'r', ''),
                ('delivery_limit',          'rawd', 'rawd', 'r', ''),
                ('limit_place',             'rawd', 'rawd', 'r', ''),
                ('schedule',                'raw',  'raw',  'r', ''),
                ('task_run',                'rawd', 'raw',  'r', ''),
                -- Stripe
                ('stripe_event',            'rawd', 'raw',  '',  ''),
                ('stripe_object',           'raw',  'rwd',  '',  ''),
                ('stripe_reconcile',        'rawd', 'raw',  'r', ''),
                ('stripe_load',             'rw',   'raw',  'r', ''),
                ('stripe_call',             'rawd', 'rw',   'r', ''),
                ('stripe_access',           'rawd', 'r',    '',  ''),
                ('stripe_access_state',     'rw',   '',     '',  ''),
                ('stripe_refresh',          'rwd',  '',     '',  ''),
                ('stripe.customer_refresh', 'r',    'r',    'r', ''),
                ('stripe.customer_access',  'r',    'r',    'r', ''),
                -- what goes out
                ('email_accepted',          'ra',   '',     '',  ''),
                ('email_template',          'rawd', 'r',    'r', ''),
                ('email_event',             'ra',   'ra',   '',  ''),
                ('suppression',             'raw',  'rawd', '',  ''),
                ('unsubscribed',            'r',    'rad',  '',  ''),
                ('endpoint',                'rw',   'rawd', '',  ''),
                ('signing_secret',          'ra',   'raw',  '',  ''),
                ('signing_origin',          'r',    'raw',  'r', ''),
                ('export_file',             'rawd', 'rw',   'r', ''),
                ('export_partition',        'raw',  'r',    'r', ''),
                ('export_schema',           'ra',   'r',    'r', ''),
                ('export_search',           'rwd',  'a',    '',  ''),
                ('export_record',           'rawd', 'rwd',  'r', ''),
                -- who may get in, and what was done
                ('token',                   '',     'raw',  '',  ''),
                ('living_token',            '',     'r',    '',  ''),
                ('publisher_limit',         '',     'rawd', 'r', ''),
                ('console_session',         'rd',   'rawd', '',  ''),
                ('sign_in_link',            'rd',   'rad',  '',  ''),
                ('audit',                   '',     'r',    '',  ''),
                ('audit.entry',             '',     'a',    '',  ''), -- its columns but id and at, which are the database's
                ('alembic_version',         'r',    'r',    'r', ''),
                -- the owner's: identities take their numbers as their table's owner
                ('audit_id_seq',            '',     '',     '',  ''),
                ('claim_batch_id_seq',      '',     '',     '',  ''),
                ('delivery_limit_id_seq',   '',     '',     '',  ''),
                ('job_run_id_seq',          '',     '',     '',  ''),
                -- the ledger without payloads and secrets
                ('message_view',            '',     '',     'r', ''),
                ('attempt_view',            '',     '',     'r', ''),
                ('stripe_event_view',       '',     '',     'r', ''),
                ('stripe_object_view',      '',     '',     'r', ''),
                ('endpoint_view',           '',     '',     'r', ''),
                ('token_view',              '',     '',     'r', ''),
                ('audit_view',              '',     '',     'r', ''),
                -- publishing; these run as the owner
                ('publish',                 'X',    'X',    '',  'X'),
                ('publish_many',            'X',    'X',    '',  'X'),
                ('publish_unique',          'X',    'X',    '',  'X'),
                ('publish_batch',           'X',    'X',    '',  'X'),
                ('refresh_customer',        '',     'X',    '',  'X'),
                -- upkeep; these run as the owner
                ('make_attempt_partitions', 'X',    '',     '',  ''),
                ('drop_attempt_partitions', 'X',    '',     '',  ''),
                ('prune_audit',             'X',    '',     '',  ''),
                ('erase_from_audit',        '',     'X',    '',  ''),
                -- what statements use
                ('wake',                    'X',    'X',    '',  ''),
                ('end_in_batch',            'X',    'X',    '',  ''),
                ('uuid7',                   'X',    'X',    '',  ''),
                ('type_matches',            'X',    'X',    '',  ''),
                ('first_state',             'X',    'X',    '',  ''),
                ('ordered_by',              'X',    'X',    '',  ''),
                ('unknown_urgency',         'X',    'X',    '',  ''),
                ('first_id_at',             'X',    'X',    '',  ''),
                ('logged_destination',      'X',    'X',    '',  ''),
                ('shown_destination',       'X',    'X',    '',  ''),
                ('endpoint_state',          'X',    'X',    '',  ''),
                ('effects',                 'X',    'X',    '',  ''),
                ('payload_needed',          'X',    '',     '',  ''),
                ('attempt_log_begin',       'X',    'X',    '',  ''),
                ('change_tenants',          '',     'X',    '',  ''),
                -- what publishing uses
                ('cancel_waiting',          '',     '',     '',  ''),
                ('uuid7s',                  '',     '',     '',  ''),
                ('destination',             '',     '',     '',  ''),
                ('short',                   '',     '',     '',  ''),
                ('known_channel',           '',     '',     '',  ''),
                ('hold',                    '',     '',     '',  ''),
                ('unknown_channel',         '',     '',     '',  ''),
                ('check_reference',         '',     '',     '',  ''),
                ('check_reserved',          '',     '',     '',  ''),
                ('check_publisher',         '',     '',     '',  ''),
                ('check_size',              '',     '',     '',  ''),
                ('payload_bytes_max',       '',     '',     '',  ''),
                ('refuse_texts',            '',     '',     '',  ''),
                ('texts_fit',               '',     '',     '',  ''),
                ('key_scope',               '',     '',     '',  ''),
                ('known_message',           '',     '',     '',  ''),
                ('check_tenants',           '',     '',     '',  ''),
                ('is_of_owner',             '',     'X',    '',  ''),
                ('check_snapshot',          '',     '',     '',  ''),
                ('hold_deliveries',         '',     '',     '',  ''),
                ('expiry',                  '',     '',     '',  ''),
                ('name_tenant',             '',     '',     '',  '')
            ), letter (letter, privilege) as (values
                ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE'), ('U', 'USAGE'), ('X', 'EXECUTE')
            ), grantee (part, id) as (
                select r.part, to_regrole(quote_ident(format('postroom_%s_%s', r.part, suffix)))::oid
                from unnest(array['runner', 'api', 'reader', 'publisher']) r (part)
                -- Shared by all databases of a server. Who may execute but not use the schema was shut out by a person.
                union all select 'publisher', to_regrole('postroom_publisher')::oid
                where coalesce(has_schema_privilege(to_regrole('postroom_publisher')::oid, 'postroom', 'usage')
                    or not has_function_privilege(to_regrole('postroom_publisher')::oid, 'postroom.publish_many(jsonb)', 'execute'),
                    false)
                union all select 'public', 0::oid
            ), ours (id, name, prefix) as (
                select oid, nspname, case nspname when 'postroom' then '' else nspname || '.' end
                from pg_namespace
                where nspname = 'postroom' or nspname = 'stripe' and obj_description(oid, 'pg_namespace') like 'Postroom: %'
            ), object (name, target, acl) as (
                select nspname, 'on schema ' || quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner))
                from pg_namespace join ours on ours.id = oid
                union all
                select ours.prefix || case when obj_description(oid, 'pg_class') like 'Generated: %' then '*' else relname end,
                    format('on %s %s', case relkind when 'S' then 'sequence' else 'table' end, oid::regclass),
                    coalesce(relacl, acldefault(case relkind when 'S' then 's'::"char" else 'r'::"char" end, relowner))
                from pg_class join ours on ours.id = relnamespace where relkind in ('r', 'p', 'v', 'm', 'S')
                union all
                select case when c.oid = 'postroom.audit'::regclass and a.attname not in ('id', 'at') then 'audit.entry' end,
                    format('(%I) on table %s', a.attname, c.oid::regclass), a.attacl
                from pg_attribute a join pg_class c on c.oid = a.attrelid join ours on ours.id = c.relnamespace
                where c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
                    and (a.attacl is not null or c.oid = 'postroom.audit'::regclass)
                union all
                select ours.prefix || proname, 'on function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner))
                from pg_proc join ours on ours.id = pronamespace
            ), wanted as (
                select o.target, g.id as grantee, l.privilege
                from decision d
                join object o on o.name = d.name
                cross join lateral (values
                    ('runner', d.runner), ('api', d.api), ('reader', d.reader), ('publisher', d.publisher)) each (part, letters)
                join grantee g on g.part = each.part and g.id is not null
                join letter l on strpos(each.letters, l.letter) > 0
            ), present as (
                select o.target, a.grantee, a.privilege_type as privilege
                from object o
                cross join lateral aclexplode(o.acl) a
                where a.grantee in (select g.id from grantee g)
            )
            select format('revoke %s %s from %s', p.privilege, p.target,
                case p.grantee when 0 then 'public' else p.grantee::regrole::text end)
            from (select * from present except select * from wanted) p
            union all
            select format('grant %s %s to %s', w.privilege, w.target, w.grantee::regrole)
            from (select * from wanted except select * from present) w
        loop
            execute command;
        end loop;
    end loop;
end
$$;
