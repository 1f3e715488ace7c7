-- The one that a record is in. $1 message id
where f.id = (select r.file_id from postroom.export_record r where r.message_id = $1)
