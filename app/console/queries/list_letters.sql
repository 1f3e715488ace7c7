-- Dead letters, newest first; of each channel the newest $8 behind the last one seen are looked at.
-- $1 channels, $2 cause, $3 tenant, $4 destination, $5, $6, $7 died_at, message id and n of the last one seen,
-- $9 limit; null means any
select l.message_id, l.n, l.channel, l.destination, l.attempts, l.cause, l.fingerprint, l.reason, l.code, l.died_at,
    m.type, m.tenant, m.key, e.url
from unnest($1::text[]) channel (name)
cross join lateral (
    select * from postroom.dead_letter d
    where d.channel = channel.name
        and (d.died_at, d.message_id, d.n) < (coalesce($5::timestamptz, 'infinity'),
            coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($7::smallint, 32767::smallint))
    order by d.died_at desc, d.message_id desc, d.n desc
    limit $8
) l
join postroom.message m on m.id = l.message_id
left join postroom.endpoint e on e.id = l.endpoint_id
where ($2::text is null or l.cause = $2) and ($3::text is null or m.tenant = $3)
    and ($4::text is null or l.destination = $4)
order by l.died_at desc, l.message_id desc, l.n desc
limit $9
