-- The id that ends the next batch of endpoints; nothing at the end. $1 after this id, $2 batch
select id from (select id from postroom.endpoint where id > $1 order by id limit $2) batch order by id desc limit 1
