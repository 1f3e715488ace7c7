-- How the batch stands that a message follows. $1 the message's id
select size, delivered, dead, cancelled, follows_on from postroom.batch where message_id = $1
