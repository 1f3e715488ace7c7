-- The object up to which it was is gone: this type begins anew. $1 account, $2 live, $3 type
update postroom.stripe_load set after = null, objects = 0 where account = $1 and live = $2 and type = $3
