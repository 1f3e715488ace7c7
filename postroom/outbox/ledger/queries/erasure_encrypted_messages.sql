-- Sealed messages of one batch: only who has the key can look into them. $1 after this id, $2 up to this id
select id, payload::text as kept from postroom.message
where id > $1 and id <= $2 and starts_with(payload ->> '$', 'sealed:1:')
