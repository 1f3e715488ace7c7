-- Say which file each record is in, and where. One that has a file already stays there, and is not counted: another worker put it
-- there (one of an earlier version asks no lock). Not by `on conflict`, which writes each row to the WAL twice.
-- One element a record: $1 message ids, $2 file ids, $3 places
insert into postroom.export_record (message_id, file_id, position)
select line.* from unnest($1::uuid[], $2::uuid[], $3::integer[]) as line (message_id, file_id, position)
where not exists (select from postroom.export_record r where r.message_id = line.message_id)
order by message_id
