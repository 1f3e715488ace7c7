-- Dead letters by channel and cause. $1 channels
select channel, cause, count(*) as count from postroom.dead_letter
where channel = any ($1::text[]) group by channel, cause order by channel, cause
