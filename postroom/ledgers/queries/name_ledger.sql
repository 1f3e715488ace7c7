-- This database is one of several ledgers from now on. $1 its name, $2 the ledger of each slot, $3 epoch
update postroom.ledger_directory set name = $1, slots = $2::text[], epoch = greatest(epoch, $3) where name is null
