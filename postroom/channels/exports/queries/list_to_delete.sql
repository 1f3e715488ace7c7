-- Files that no manifest in the storage lists any more, or ever did, and whose time is over, in no order: those that a
-- storage never lets go hold up no others.
-- $1 most files
select f.id, f.path, f.payload_bytes, f.stored_at
from postroom.export_file f
left join postroom.export_partition p on p.folder = f.folder
where f.delete_at <= now() and not f.listed and (f.removed_in is null or p.written >= f.removed_in)
order by random() limit $1
