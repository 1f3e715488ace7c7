-- Forget keys whose window is over and of which nothing waits. $1 limit. Returns how many.
with old as (
    select k.key, k.channel, k.tenant
    from postroom.unique_key k
    where k.until < now() - interval '1 hour'
        and not exists (select from postroom.delivery d where d.message_id = k.message_id)
    order by k.until limit $1
    for update skip locked
), gone as (
    delete from postroom.unique_key k using old
    where k.key = old.key and k.channel = old.channel and k.tenant = old.tenant
    returning k.key
)
select count(*) from gone
