-- Messages of some transactions that lie open, locked, so that a payload that somebody empties stays empty.
-- $1 from this transaction, $2 to below this one, $3 at most
select m.id, m.payload::text as payload
from postroom.message m
where m.xid >= $1 and m.xid < $2 and m.payload <> '{}'
    and not starts_with(coalesce(m.payload ->> '$', ''), 'sealed:1:')
order by m.id
limit $3
for no key update
