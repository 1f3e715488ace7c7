-- Take the address out of the attempts of one batch, and all that receivers answered to erased messages, and the domain
-- that a limit named them by.
-- $1 after this message id, $2 up to this one, $3 pattern, $4 ids of erased messages. Returns how many.
with erased as (
    update postroom.attempt set
        reason = regexp_replace(reason, $3, '[erased]', 'gi'),
        detail = case when message_id = any ($4::uuid[]) then null
            else regexp_replace(detail, $3, '[erased]', 'gi') end,
        destination = case when channel <> 'email' or message_id <> all ($4::uuid[]) then destination end
    where message_id > $1 and message_id <= $2
        and (reason ~* $3 or detail ~* $3 or (message_id = any ($4::uuid[])
            and (detail is not null or (channel = 'email' and destination is not null))))
    returning 1
), letters as (
    update postroom.dead_letter set reason = regexp_replace(reason, $3, '[erased]', 'gi')
    where message_id > $1 and message_id <= $2 and reason ~* $3
), items as (
    update postroom.replay_item set reason = regexp_replace(reason, $3, '[erased]', 'gi')
    where message_id > $1 and message_id <= $2 and reason ~* $3
)
select count(*) from erased
