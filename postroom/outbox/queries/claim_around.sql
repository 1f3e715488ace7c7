-- Like `claim_due`, around destinations that may have no more just now and tenants that leave the places to others,
-- among the oldest $10 of each kind.
-- Only what is claimed is locked: whoever looks in vain, again and again, must leave no trace in the table. More is chosen
-- than may be claimed, so that runners who look at the same time take what follows what others have locked.
-- $1 … $8 as in `claim_due`, $9 destinations to leave alone, $10 how many to look at,
-- $11 and $12 the states of the lane, $13 tenants to leave alone, and of which only a few may be claimed:
-- $14 tenants, $15 destinations (of each one is null), $16 how many
with fresh as materialized (
    select d.ctid as place, d.destination, d.tenant, d.due_at, d.seq
    from postroom.delivery d
    where d.channel = $1 and d.state = $11 and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > (to_timestamp($5), $6)
        and (d.ordering_key is null or not exists (
            select from postroom.delivery e
            where e.ordering_key = d.ordering_key and e.channel = d.channel
                and e.destination = d.destination and e.seq < d.seq))
    order by d.due_at, d.seq
    limit $10
), again as materialized (
    select d.ctid as place, d.destination, d.tenant, d.due_at, d.seq
    from postroom.delivery d
    where d.channel = $1 and d.state = $12 and d.worker is null
        and d.due_at <= now() and (d.due_at, d.seq) > (to_timestamp($7), $8)
        and (d.ordering_key is null or not exists (
            select from postroom.delivery e
            where e.ordering_key = d.ordering_key and e.channel = d.channel
                and e.destination = d.destination and e.seq < d.seq))
    order by d.due_at, d.seq
    limit $10
), few as (
    select * from unnest($14::text[], $15::text[], $16::integer[]) as f(tenant, destination, most)
), beyond as materialized (
    select ranked.place
    from (
        select l.place, l.most, row_number() over (partition by l.tenant, l.destination order by l.due_at, l.seq) as nth
        from (
            select s.place, s.due_at, s.seq, few.*
            from few join (select * from fresh union all select * from again) s on s.tenant = few.tenant
            union all
            select s.place, s.due_at, s.seq, few.*
            from few join (select * from fresh union all select * from again) s on s.destination = few.destination
        ) l
    ) ranked
    where ranked.nth > ranked.most
), fresh_locked as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.ctid = any (array(
            select place from fresh
            where destination <> all ($9::text[]) and coalesce(tenant <> all ($13::text[]), true)
                and place not in (select place from beyond)
            order by due_at, seq limit 4 * $3))
        and d.worker is null and d.due_at <= now()
    order by d.due_at, d.seq
    limit $3
    for update skip locked
), again_locked as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.ctid = any (array(
            select place from again
            where destination <> all ($9::text[]) and coalesce(tenant <> all ($13::text[]), true)
                and place not in (select place from beyond)
            order by due_at, seq limit 4 * $4))
        and d.worker is null and d.due_at <= now()
    order by d.due_at, d.seq
    limit $4
    for update skip locked
), locked as (
    select place from fresh_locked union all select place from again_locked
)
