-- How many endpoints of a batch have their secret under which key; '' is none. $1 after this id, $2 up to this one
select case when starts_with(secret, 'sealed:1:') then split_part(secret, ':', 3) else '' end as key, count(*) as count
from postroom.endpoint where id > $1 and id <= $2
group by 1
