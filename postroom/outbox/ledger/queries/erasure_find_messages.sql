-- Messages of one batch that hold the address, and whether a delivery of them is open, or of what refers to them.
-- $1 after this id, $2 up to this id, $3 pattern, $4 sealed ones that were found to hold it
select m.id, exists (select from postroom.delivery d where d.message_id = m.id)
        or exists (select from postroom.effects(m.channel, m.id, m.correlation_id) as e (id)
            join postroom.delivery d on d.message_id = e.id) as is_open
from postroom.message m
where m.id > $1 and m.id <= $2
    and (m.id = any ($4::uuid[])
        or concat_ws(' ', m.payload, m.key, m.tenant, m.type, m.correlation_id, m.ordering_key) ~* $3)
order by m.id
