-- Dead letters, newest first; of each channel the newest $6, along an index. To be planned for its values.
-- $1 channels, $2 cause, $3 fingerprint, $4 tenant, $5 died since, $6 limit; null means any.
-- $7, $8, $9 died_at, message id and n of the last one seen, or nulls
select l.message_id, l.n, l.channel, l.destination, l.endpoint_id, l.attempts, l.cause, l.fingerprint, l.reason,
    l.code, l.died_at, m.type, m.tenant, m.key, m.correlation_id
from (
    select newest.*
    from unnest($1::text[]) channel (name)
    cross join lateral (
        select * from postroom.dead_letter d
        where d.channel = channel.name and ($2::text is null or d.cause = $2)
            and ($3::text is null or d.fingerprint = $3) and ($4::text is null or d.tenant = $4)
            and ($5::timestamptz is null or d.died_at >= $5)
            and ($7::timestamptz is null or (d.died_at, d.message_id, d.n) < ($7, $8::uuid, $9::smallint))
        order by d.died_at desc, d.message_id desc, d.n desc
        limit $6
    ) newest
    order by newest.died_at desc, newest.message_id desc, newest.n desc
    limit $6
) l
join postroom.message m on m.id = l.message_id
order by l.died_at desc, l.message_id desc, l.n desc
