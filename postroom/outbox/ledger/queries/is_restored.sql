-- Is this ledger in another cluster than the one that it was last added up in?
select f.cluster <> (select system_identifier from pg_control_system()) from postroom.ledger_fold f
