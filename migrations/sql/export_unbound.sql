-- PostgreSQL does not look up the file of each record that is added: whoever adds some has locked its row in the same
-- transaction, and whoever deletes a file deletes its records. May be run again.
select postroom.hold('postroom.export_file', 'postroom.export_record');
alter table postroom.export_record drop constraint if exists export_record_file_id_fkey;
