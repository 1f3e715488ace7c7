-- All records of one file, from the ledger, in the order of the file. Not those whose payload
-- retention has emptied.
-- $1 file id
select m.id, m.type, m.tenant, m.created_at, m.payload ->> 'record' as record
from postroom.export_record r
join postroom.message m on m.id = r.message_id
where r.file_id = $1 and jsonb_typeof(m.payload -> 'record') = 'object'
order by r.position
