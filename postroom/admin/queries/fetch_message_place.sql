-- Whose a message is, and on which channel. $1 id
select tenant, channel from postroom.message where id = $1
