-- Wake who sleeps on a channel. $1 channel
select postroom.wake($1)
