-- `taken_until`: one process at a time carries a planned replacement out. May be run again.
select postroom.hold('postroom.export_file');
alter table postroom.export_file add column if not exists taken_until timestamptz;
