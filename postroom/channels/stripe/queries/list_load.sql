-- How far each type of an account is. $1 account, null for all; $2 live, null for both
select account, live, type, after, objects, began_at, ended_at, left_out from postroom.stripe_load
where ($1::text is null or account = $1) and ($2::boolean is null or live = $2)
order by account <> 'self', account, type
