-- Let manifests list the files that workers of an earlier version have stored.
-- $1 most files
with found as materialized (
    select id from postroom.export_file where stored_at is not null and not listed and delete_at is null order by stored_at limit $1
    for update skip locked
), adopted as (
    update postroom.export_file f
    set listed = true, folder = coalesce(folder, regexp_replace(path, '/[^/]*$', ''))
    from found where f.id = found.id
    returning f.folder, f.dataset
)
insert into postroom.export_partition as p (folder, dataset, day, version)
select folder, min(dataset), max(substring(folder from '/dt=(\d{4}-\d\d-\d\d)$'))::date, 1
from adopted group by folder order by folder
on conflict (folder) do update set version = p.version + 1, changed_at = now()
returning folder
