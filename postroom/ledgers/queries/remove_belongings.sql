-- Make place for what a tenant brings along: its limits, and endpoints of the same id. $1 tenant, $2 ids
with limits as (
    delete from postroom.delivery_limit where tenant = $1
)
delete from postroom.endpoint where id = any ($2::uuid[])
