-- Which keys sealed what waits or is dead, among 2,000 of each, by channel; '' is none.
select case when starts_with(m.payload ->> '$', 'sealed:1:') then split_part(m.payload ->> '$', ':', 3) else '' end as key,
    m.channel, count(*) as count
from (
    (select message_id from postroom.delivery limit 2000)
    union
    (select message_id from postroom.dead_letter limit 2000)
) wanted
join postroom.message m on m.id = wanted.message_id
where m.payload <> '{}'
group by 1, 2
order by 1, 2
