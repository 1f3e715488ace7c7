-- Dead letters by channel and cause, counted in the index dead_letter_cause, each group up to $1 rows.
select channel.name as channel, cause.name as cause, dead.count
from unnest(array['stripe', 'email', 'webhook', 'export']) channel (name)
cross join unnest(array['passing', 'permanent', 'ours']) cause (name)
cross join lateral (
    select count(*) from (select from postroom.dead_letter l
        where l.channel = channel.name and l.cause = cause.name limit $1) capped) dead
where dead.count > 0
