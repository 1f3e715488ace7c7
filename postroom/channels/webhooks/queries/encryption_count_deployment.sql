-- Under which key the deployment's own secret lies; '' is none. $1 false, $2 true
select case when starts_with(secret, 'sealed:1:') then split_part(secret, ':', 3) else '' end as key, count(*) as count
from postroom.signing_secret where only_one > $1 and only_one <= $2
group by 1
