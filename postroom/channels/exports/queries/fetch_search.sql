-- The search that has waited longest.
select id, pattern, after from postroom.export_search order by id limit 1
