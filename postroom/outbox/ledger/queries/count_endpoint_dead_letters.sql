-- Dead letters of some receivers. $1 their names, $2 cap
select name, dead.count
from unnest($1::text[]) name
cross join lateral (select count(*) from (select from postroom.dead_letter l
    where l.destination = name limit $2) capped) dead
