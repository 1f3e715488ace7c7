-- The file that each record belongs to.
-- $1 message ids
select r.message_id, f.id, f.dataset, f.created_at, f.stored_at
from postroom.export_record r
join postroom.export_file f on f.id = r.file_id
where r.message_id = any ($1::uuid[])
