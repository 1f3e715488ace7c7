-- Files that somebody wants to be written again.
-- $1 most files
select id, path, stored_at, records from postroom.export_file where again and listed and replaced_by is null order by id limit $1
