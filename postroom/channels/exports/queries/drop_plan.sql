-- Give a replacement up: the files stay what they are. What an attempt that was killed has put there is to be deleted.
-- $1 the new file
with freed as (
    update postroom.export_file set replaced_by = null where replaced_by = $1 and listed
)
update postroom.export_file set delete_at = now() where id = $1 and stored_at is null
