-- How many records of each file still have what they were written from.
-- $1 file ids
select r.file_id, count(*) as kept
from postroom.export_record r
join postroom.message m on m.id = r.message_id
where r.file_id = any ($1::uuid[]) and (jsonb_typeof(m.payload -> 'record') = 'object' or m.payload ? '$')
group by r.file_id
