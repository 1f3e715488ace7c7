-- Until the transaction ends nobody else adds records to files, or closes them.
select pg_advisory_xact_lock(hashtextextended('postroom.export_file', 7265))
