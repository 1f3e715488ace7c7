-- Files as people are shown them; what follows says which. Of a folder without a day, the one when it was begun.
-- `current`: the manifest in the storage has the last change of the folder; `manifest`: the version that is there, if one is.
select f.id, f.dataset, p.tenant, coalesce(p.day, (f.opened_at at time zone 'utc')::date) as day, f.path, f.records,
    f.size_bytes, encode(f.sha256, 'hex') as sha256, f.opened_at, f.closes_at, f.stored_at, f.delete_at, f.listed, f.again,
    coalesce(p.written >= p.version, false) as current, nullif(p.written, 0) as manifest
from postroom.export_file f
left join postroom.export_partition p on p.folder = f.folder
