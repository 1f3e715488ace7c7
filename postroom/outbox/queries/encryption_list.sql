-- Messages of a batch that the current key has not sealed, locked. $1 after this id, $2 up to this one,
-- $3 what the current key's texts begin with
select id, channel, payload::text as kept from postroom.message
where id > $1 and id <= $2 and payload <> '{}' and not starts_with(coalesce(payload ->> '$', ''), $3)
order by id
for no key update
