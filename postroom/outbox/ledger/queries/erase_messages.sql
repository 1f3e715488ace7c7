-- Empty erased messages unless one became open meanwhile. A key that holds the address, or whose
-- tenant does, is replaced by one that stays unique. $1 message ids, $2 pattern. Returns how many.
with erased as (
    update postroom.message m set
        payload = '{}',
        key = case when m.key ~* $2 or m.tenant ~* $2 then 'erased:' || m.id else m.key end,
        tenant = left(regexp_replace(m.tenant, $2, '[erased]', 'gi'), 200),
        type = left(regexp_replace(m.type, $2, '[erased]', 'gi'), 200),
        correlation_id = left(regexp_replace(m.correlation_id, $2, '[erased]', 'gi'), 200),
        ordering_key = left(regexp_replace(m.ordering_key, $2, '[erased]', 'gi'), 500)
    where m.id = any ($1::uuid[])
        and not exists (select from postroom.delivery d where d.message_id = m.id)
        and not exists (select from postroom.effects(m.channel, m.id, m.correlation_id) as e (id)
            join postroom.delivery d on d.message_id = e.id)
    returning m.id
)
select count(*) from erased
