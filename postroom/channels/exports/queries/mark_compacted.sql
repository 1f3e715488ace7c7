-- The folder was looked at for small files, as it was $2 seconds ago.
-- $1 folder, $2 seconds
update postroom.export_partition set compacted_at = now() - make_interval(secs => $2) where folder = $1
