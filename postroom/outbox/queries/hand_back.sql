-- Hand back, with no attempt spent, claims that a worker does not know of: the answer to its claim was lost.
-- $1 channel, $2 worker, $3 only what was claimed before this (null: everything)
with freed as (
    update postroom.delivery set worker = null, claimed_at = null
    where channel = $1 and worker = $2 and ($3::timestamptz is null or claimed_at < $3)
    returning message_id
)
select count(*) as count, now() as at from freed
