-- Destinations that folders of exports lie in, beside the one for all others. $1 most
select split_part(folder, '://', 1) as name, count(*) as folders
from postroom.export_partition where folder like '%://%'
group by name order by name limit $1
