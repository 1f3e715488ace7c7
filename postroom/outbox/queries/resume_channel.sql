-- $1 channel. Returns the pause that was there.
delete from postroom.channel_pause where channel = $1 returning reason, paused_by
