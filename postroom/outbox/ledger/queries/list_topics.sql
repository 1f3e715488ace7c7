-- What messages without a type are about: the mail's template, the export's dataset. $1 message ids
-- A large payload is left alone: to read a field of it, all of it would be unpacked.
select id, coalesce(payload ->> 'template', payload ->> 'dataset') as topic
from postroom.message
where id = any ($1::uuid[]) and type = '' and channel in ('email', 'export') and pg_column_size(payload) < 20000
