-- Files that somebody wants to be written again.
-- $1 most files
select id, path, stored_at, records from postroom.export_file where again order by id limit $1
