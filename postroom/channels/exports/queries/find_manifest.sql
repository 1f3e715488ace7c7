-- A folder whose manifest is in the storage: this one, or else the one of the same place that changed last. A row, or none.
-- $1 folder, $2 what the folders of its place begin with; empty: those without a name of a place
(select folder from postroom.export_partition where folder = $1 and written > 0)
union all
(select folder from postroom.export_partition
    where written > 0 and case when $2 = '' then strpos(folder, '://') = 0 else starts_with(folder, $2) end
    order by changed_at desc limit 1)
limit 1
