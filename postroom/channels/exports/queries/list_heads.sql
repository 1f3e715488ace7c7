-- What is looked at of records that have no file yet: of a dataset in $3, of one that names a tenant or a type itself, and of what is
-- not plainly a record, the whole payload, else its dataset and its record's `created`, which is a fraction of the text. `bytes`: of
-- the whole payload, as it was measured when it was published: to write it as text took a quarter of this statement.
-- Left out is what only a claim opens or judges: a payload of more than 16 kB as it is stored, one that is encrypted or refers to an
-- event, and one that was published before $2.
-- $1 message ids, $2 epoch seconds, $3 datasets; null: all
select m.id as message_id, m.tenant, m.type, date_part('epoch', m.created_at) as created_s,
    case when pg_column_compression(m.payload) is null then pg_column_size(m.payload) else octet_length(m.payload::text) end as bytes,
    case when jsonb_typeof(m.payload -> 'dataset') = 'string' and jsonb_typeof(m.payload -> 'record') = 'object'
            and not m.payload ?| array['tenant', 'type']
            and not m.payload ->> 'dataset' = any ($3::text[]) -- null where $3 is
        then format('{"dataset":%s,"record":{"created":%s}}', m.payload -> 'dataset', coalesce(m.payload #> '{record,created}', 'null'))
        else m.payload::text end as payload
from postroom.message m
where m.id = any ($1::uuid[]) and pg_column_size(m.payload) <= 16384 and not m.payload ? '$' and m.created_at >= to_timestamp($2)
    and not exists (select from postroom.export_record r where r.message_id = m.id)
