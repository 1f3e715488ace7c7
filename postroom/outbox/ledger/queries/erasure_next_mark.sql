-- The id that ends the next batch of the ledger, which has so many messages or 8 MB of payloads, as they are stored;
-- null at its end. $1 after this id, $2 batch
select id from (
    select id, sum(pg_column_size(payload)) over (order by id rows unbounded preceding) - pg_column_size(payload) as before
    from (select id, payload from postroom.message where id > $1 order by id limit $2) batch
) sized where before < 8388608 order by id desc limit 1
