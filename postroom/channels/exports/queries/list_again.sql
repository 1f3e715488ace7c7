-- Files that somebody wants to be written again, in no order: those that a storage never takes hold up no others.
-- $1 most files
select id, path, stored_at, records from postroom.export_file where again and listed and replaced_by is null order by random() limit $1
