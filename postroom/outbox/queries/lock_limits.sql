-- Before `lease_limits`, which then reads what those before it have written. $1 limits
select id from postroom.delivery_limit where id = any ($1::bigint[]) order by id for no key update
