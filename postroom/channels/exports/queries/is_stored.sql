-- Whether somebody has said that the file is in storage; not so where it was given up. A statement of its own, for it has to see
-- what others committed while ours waited for the row.
-- $1 file id
select exists (select from postroom.export_file where id = $1 and stored_at is not null)
