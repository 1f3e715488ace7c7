-- Signed bodies of a batch that the current key has not sealed, locked. $1 after this id, $2 up to this one,
-- $3 what the current key's texts begin with
select message_id as id, raw as kept from postroom.stripe_event
where message_id > $1 and message_id <= $2 and raw is not null
    and not starts_with(encode(substring(raw for 60), 'escape'), $3)
order by message_id
for no key update
