-- Files that no manifest in the storage lists any more, and whose time is over.
-- $1 most files
select f.id, f.path, f.payload_bytes, f.stored_at
from postroom.export_file f
join postroom.export_partition p on p.folder = f.folder
where f.delete_at <= now() and p.written >= f.removed_in
order by f.delete_at limit $1
