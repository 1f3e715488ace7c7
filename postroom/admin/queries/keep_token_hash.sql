-- Keep another hash of the same token. $1 the one before, $2 the new one
update postroom.token set hash = $2 where hash = $1
