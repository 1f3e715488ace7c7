-- The message id that ends the next batch of Stripe events; nothing at the end. $1 after this id, $2 batch
select message_id from (
    select message_id from postroom.stripe_event where message_id > $1 order by message_id limit $2) batch
order by message_id desc limit 1
