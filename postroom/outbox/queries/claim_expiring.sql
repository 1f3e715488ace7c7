-- Take over what is past its publisher's own time and not under way; what is under way ends by itself.
-- $1 the worker that takes over, $2 message ids.
with locked as materialized (
    select d.ctid as place
    from postroom.delivery d
    where d.message_id = any ($2::uuid[]) and d.expires_at <= now() and d.worker is null
    for update skip locked
)
