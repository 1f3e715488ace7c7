-- What ends the next batch of mirrored objects; nothing at the end. $1 and $2 after this account and object, $3 batch
select account, object_id from (
    select account, object_id from postroom.stripe_object where (account, object_id) > ($1, $2)
    order by account, object_id limit $3) batch
order by account desc, object_id desc limit 1
