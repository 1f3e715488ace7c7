-- Give a replacement up: the files stay what they are.
-- $1 the new file
with freed as (
    update postroom.export_file set replaced_by = null where replaced_by = $1 and listed
)
delete from postroom.export_file where id = $1 and stored_at is null
