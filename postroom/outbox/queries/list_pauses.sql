-- The channels of which nothing is claimed, and why.
select channel, reason, paused_by, paused_at from postroom.channel_pause order by channel
