-- Messages of some transactions that lie open, locked, so that a payload that somebody empties stays empty.
-- By transaction first: an order by id alone makes PostgreSQL walk the whole ledger in the order of its key.
-- They end behind 8 MB of payloads, as they are stored; `found` is how many there were before that.
-- $1 from this transaction, $2 to below this one, $3 and $4 after this transaction and id, $5 at most
with open as materialized (
    select m.id, m.xid, m.channel, m.payload
    from postroom.message m
    where m.xid >= $1 and m.xid < $2 and (m.xid, m.id) > ($3, $4) and m.payload <> '{}'
        and not starts_with(coalesce(m.payload ->> '$', ''), 'sealed:1:')
    order by m.xid, m.id
    limit $5
    for no key update
), sized as (
    select id, xid, channel, payload, count(*) over () as found,
        sum(pg_column_size(payload)) over (order by xid, id rows unbounded preceding) - pg_column_size(payload) as before
    from open
)
select id, xid, channel, payload::text as payload, found from sized where before < 8388608 order by xid, id
