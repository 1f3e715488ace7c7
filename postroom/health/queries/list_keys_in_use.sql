-- Which keys sealed what waits or is dead, among 2,000 of each.
select split_part(m.payload ->> '$', ':', 3) as key, count(*) as count
from (
    (select message_id from postroom.delivery limit 2000)
    union
    (select message_id from postroom.dead_letter limit 2000)
) wanted
join postroom.message m on m.id = wanted.message_id
where starts_with(m.payload ->> '$', 'sealed:1:')
group by 1
order by 1
