-- Files of a dataset by the day of their folder; of one without a day, by when they were begun.
-- `current`: the manifest in the storage has the last change of the folder.
-- $1 dataset or null, $2 first day or null, $3 the day after the last or null, $4 tenant or null, $5 most files
select f.id, f.dataset, p.tenant, coalesce(p.day, (f.opened_at at time zone 'utc')::date) as day, f.path, f.records,
    f.size_bytes, encode(f.sha256, 'hex') as sha256, f.opened_at, f.closes_at, f.stored_at, f.delete_at, f.listed, f.again,
    coalesce(p.written >= p.version, false) as current
from postroom.export_file f
left join postroom.export_partition p on p.folder = f.folder
where ($1::text is null or f.dataset = $1)
    and ($2::date is null or coalesce(p.day, (f.opened_at at time zone 'utc')::date) >= $2)
    and ($3::date is null or coalesce(p.day, (f.opened_at at time zone 'utc')::date) < $3)
    and ($4::text is null or p.tenant = $4)
order by day, f.folder, f.opened_at, f.id
limit $5
