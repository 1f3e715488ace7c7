-- Dead letters gathered by what went wrong, the biggest first.
-- $1 channels, $2 cause, $3 fingerprint, $4 tenant, $5 died since, $6 limit; null means any
select l.fingerprint, l.channel, l.cause, count(*) as count, min(l.died_at) as first_died_at,
    max(l.died_at) as last_died_at, (array_agg(l.reason order by l.died_at desc))[1] as sample_reason,
    (array_agg(l.message_id order by l.died_at desc))[1] as sample_message_id
from postroom.dead_letter l
join postroom.message m on m.id = l.message_id
where l.channel = any ($1::text[]) and ($2::text is null or l.cause = $2)
    and ($3::text is null or l.fingerprint = $3) and ($4::text is null or l.tenant = $4)
    and ($5::timestamptz is null or l.died_at >= $5)
group by l.fingerprint, l.channel, l.cause
order by count desc, l.fingerprint
limit $6
