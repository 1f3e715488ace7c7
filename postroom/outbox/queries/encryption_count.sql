-- How many payloads of a batch lie under which key; '' is none. $1 after this id, $2 up to this one
select case when starts_with(payload ->> '$', 'sealed:1:') then split_part(payload ->> '$', ':', 3) else '' end as key,
    count(*) as count
from postroom.message where id > $1 and id <= $2 and payload <> '{}'
group by 1
