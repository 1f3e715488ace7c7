-- Everything below this transaction is sealed. $1 transaction id
update postroom.sealing_mark set xid = $1
