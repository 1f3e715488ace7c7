-- The payload of a mail as it is kept. $1 message id
select payload from postroom.message where id = $1 and channel = 'email'
