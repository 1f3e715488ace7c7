-- Records that are to be in no file any more.
-- $1 file ids
select message_id from postroom.export_record where file_id = any ($1::uuid[]) and erased
