-- What an event has caused so far. $1 its correlation id, $2 what the keys of its messages start with
select channel, substr(key, length($2) + 1) as name from postroom.message
where correlation_id = $1 and starts_with(key, $2)
