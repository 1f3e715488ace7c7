-- Every key of transactions before this one is here. $1 tenant, $2 epoch, $3 transaction id
update postroom.ledger_tenant set copied_xid = $3 where tenant = $1 and epoch = $2 and step = 'copying'
