-- Whether a file was stored meanwhile, and whether its manifest may lack it.
-- $1 file id
select f.stored_at is not null as stored, coalesce(p.written < p.version, true) as stale
from postroom.export_file f
left join postroom.export_partition p on p.folder = f.folder
where f.id = $1
