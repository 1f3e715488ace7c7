-- Files with a record that is to be in no file any more.
-- $1 most files
select f.id from postroom.export_file f
where f.listed and f.replaced_by is null
    and f.id in (select r.file_id from postroom.export_record r where r.erased)
order by f.id limit $1
