-- The manifest of a folder is in the storage in this version. Returns the newest that is known to be there. Where the
-- ledger itself is older, it was restored from a backup: its next version is above that one, so that it counts.
-- $1 folder, $2 version
update postroom.export_partition
set written = greatest(written, $2), version = case when version < $2 then $2 + 1 else version end
where folder = $1
returning written
