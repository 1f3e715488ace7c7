-- Take over addresses that are never mailed. $1 an array of JSON objects
insert into postroom.suppression select * from jsonb_populate_recordset(null::postroom.suppression, $1::text::jsonb)
on conflict do nothing
