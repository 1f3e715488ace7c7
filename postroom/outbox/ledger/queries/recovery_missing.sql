-- What an endpoint should have and never had, among the next messages of its tenant. What it has waiting, dead, delivered
-- or cancelled is not missing; nor is a test ping, nor what went to a url, nor what an older version delivered, which did not
-- write down where. Of a message published before the log of attempts begins that cannot be told: it is passed by.
-- The begin of a statement. $1 endpoint, $2 the message to start behind, $3 the message to end before, $4 at most so many
-- messages are looked at.
with scanned as materialized (
    select m.id, m.channel, m.type, m.key, m.created_at, pg_column_size(m.payload) <= 8 as emptied, e.types
    from postroom.endpoint e
    cross join lateral (
        -- Along its index, which ends at the limit.
        select each.* from postroom.message each
        where each.tenant = e.tenant and each.tenant <> '' and each.id < $3::uuid
            and each.id > greatest($2::uuid, postroom.first_id_at(postroom.attempt_log_begin()))
        order by each.id limit $4::bigint
    ) m
    where e.id = $1
), missing as materialized (
    select s.id, s.emptied
    from scanned s
    -- One look a message, whatever the log has: a join might read all of it for each step.
    left join lateral (
        select true as it from postroom.attempt a
        where a.message_id = s.id and a.ended_at >= s.created_at
            and (a.endpoint_id is null or (a.endpoint_id = $1 and a.outcome in ('delivered', 'cancelled'))
                -- Without a reason a person has cancelled the whole message.
                or (a.outcome = 'cancelled' and a.reason is null))
        limit 1
    ) had on true
    where s.channel = 'webhook' and s.type not in ('', 'postroom.ping') and coalesce(s.key, '') not like 'postroom.ping:%'
        and postroom.type_matches(s.types, s.type)
        and not exists (
            select from postroom.delivery d
            where d.message_id = s.id and (d.endpoint_id = $1 or d.endpoint_id is null))
        and not exists (
            select from postroom.dead_letter l
            where l.message_id = s.id and (l.endpoint_id = $1 or l.endpoint_id is null))
        and had.it is null
)
