-- All records of one file, from the ledger, in the order of the file. Not those whose payload
-- retention has emptied. Of a payload that is encrypted, or refers to an event, its text comes back, and no record.
-- $1 file id
select m.id, m.type, m.tenant, m.created_at,
    case when jsonb_typeof(m.payload -> 'record') = 'object' then m.payload ->> 'record' end as record,
    case when m.payload ? '$' then m.payload::text end as kept
from postroom.export_record r
join postroom.message m on m.id = r.message_id
where r.file_id = $1 and (jsonb_typeof(m.payload -> 'record') = 'object' or m.payload ? '$')
order by r.position
