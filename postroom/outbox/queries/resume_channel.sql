-- $1 channel
delete from postroom.channel_pause where channel = $1
