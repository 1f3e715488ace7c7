-- How many signed bodies of a batch lie under which key; '' is none. $1 after this id, $2 up to this one
select case when starts_with(head, 'sealed:1:') then split_part(head, ':', 3) else '' end as key, count(*) as count
from (
    select encode(substring(raw for 60), 'escape') as head from postroom.stripe_event
    where message_id > $1 and message_id <= $2 and raw is not null) bodies
group by 1
