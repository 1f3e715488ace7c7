-- What code has declared of a channel, by destination. $1 channel
select destination, declared from postroom.delivery_limit where channel = $1 and declared is not null
