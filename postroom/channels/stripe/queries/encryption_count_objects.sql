-- How many mirrored objects of a batch lie under which key; '' is none. $1 and $2 after this account and object,
-- $3 and $4 up to these
select case when starts_with(data ->> '$', 'sealed:1:') then split_part(data ->> '$', ':', 3) else '' end as key,
    count(*) as count
from postroom.stripe_object where (account, object_id) > ($1, $2) and (account, object_id) <= ($3, $4)
group by 1
