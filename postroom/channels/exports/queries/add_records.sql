-- Say which file each record is in, and where. One that another worker has put into a file (one of an earlier version asks
-- no lock) stays there, and is not counted.
-- One element a record: $1 message ids, $2 file ids, $3 places
insert into postroom.export_record (message_id, file_id, position)
select * from unnest($1::uuid[], $2::uuid[], $3::integer[]) as line (message_id, file_id, position)
order by message_id
on conflict (message_id) do nothing
