-- The object that ends the next batch of the comparison; nothing at the end. $1 type, $2 and $3 after this id and account,
-- $4 batch
select object_id, account from (
    select object_id, account from postroom.stripe_object where type = $1 and (object_id, account) > ($2, $3)
    order by object_id, account limit $4) batch
order by object_id desc, account desc limit 1
