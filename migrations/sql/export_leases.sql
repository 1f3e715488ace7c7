-- `taken_until`: one process at a time writes a file. `taken_by`: which worker it is, of a file that closed; of a planned
-- replacement, null. May be run again.
select postroom.hold('postroom.export_file');
alter table postroom.export_file add column if not exists taken_until timestamptz;
alter table postroom.export_file add column if not exists taken_by bigint;
