-- How many limits there are but for this one. $1 channel, $2 tenant, $3 destination
select count(*) from postroom.delivery_limit
where (channel, coalesce(tenant, ''), coalesce(destination, '')) <> ($1, coalesce($2, ''), coalesce($3, ''))
