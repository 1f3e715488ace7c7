-- How many deliveries messages were published with. $1 message ids
select id, deliveries from postroom.message where id = any($1::uuid[])
