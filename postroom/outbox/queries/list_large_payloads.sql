-- Payloads that a claim left out, in its order, up to 8 MB as they are stored and the one that exceeds them.
-- $1 message ids
select id, payload from (
    select m.id, m.payload,
        sum(pg_column_size(m.payload)) over (order by i.nr rows unbounded preceding) - pg_column_size(m.payload) as before
    from (select id, min(nr) as nr from unnest($1::uuid[]) with ordinality as each(id, nr) group by id) i
    join postroom.message m on m.id = i.id
) sized where before < 8388608
