-- Folders whose manifest is in the storage: this one, and the one of the same place that changed last besides. Two rows at most.
-- $1 folder, $2 what the folders of its place begin with; empty: those without a name of a place
(select folder, 0 as n from postroom.export_partition where folder = $1 and written > 0)
union all
(select folder, 1 from postroom.export_partition
    where folder <> $1 and written > 0 and case when $2 = '' then strpos(folder, '://') = 0 else starts_with(folder, $2) end
    order by changed_at desc limit 1)
order by n
