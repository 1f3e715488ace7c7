-- The oldest of what is missing, locked: whoever sends it again at this moment comes after us, for two deliveries need two
-- numbers. Goes on from recovery_missing. $5 at most so many. Returns them, and behind which message to go on.
, first as materialized (
    select id from missing where not emptied order by id limit $5::bigint
), locked as (
    select m.id from postroom.message m
    where m.id in (select id from first) and pg_column_size(m.payload) > 8
    order by m.id for no key update of m
)
select array(select id from locked) as message_ids, case
    when (select count(*) from first) >= $5 then (select id from first order by id desc limit 1)
    when (select count(*) from scanned) >= $4 then (select id from scanned order by id desc limit 1)
    else $3 end as next_id
