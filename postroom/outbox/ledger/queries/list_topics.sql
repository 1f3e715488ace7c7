-- What messages without a type are about: the mail's template, the export's dataset, the task's name, what a
-- call to Stripe is made to, without ids. $1 message ids
-- A large payload is left alone: to read a field of it, all of it would be unpacked.
select id, coalesce(payload ->> 'template', payload ->> 'dataset', payload ->> 'task',
    (payload ->> 'method') || ' ' || split_part(payload ->> 'path', '/', 3)) as topic
from postroom.message
where id = any ($1::uuid[]) and type = '' and channel in ('email', 'export', 'stripe_api', 'task') and pg_column_size(payload) < 20000
