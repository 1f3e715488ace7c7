-- Code declares a limit no more: it goes, unless a person's holds in its place. $1 channel, $2 destination, $3 the name for code.
with gone as (
    delete from postroom.delivery_limit
    where channel = $1 and tenant is null and destination = $2 and declared is not null and set_by = $3
)
update postroom.delivery_limit set declared = null
where channel = $1 and tenant is null and destination = $2 and declared is not null and set_by <> $3
