-- How many messages were published since a moment, as their ids tell. $1 the first id of that moment, $2 cap
select count(*) from (select from postroom.message where id >= $1 order by id limit $2) capped
